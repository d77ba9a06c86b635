"""The pages of pipelines and CI: the graph with what is stale and why, durations, experiments, each CI run's report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from penstock.base.errors import NotARepository, PenstockError
from penstock.base.git import Git
from penstock.base.numbers import counted
from penstock.ci.report import CiReport
from penstock.data.git.experiments import list_experiments
from penstock.data.repository import DataRepository
from penstock.flows.experiments.baselines import Baselines
from penstock.flows.experiments.showing import FIXED, Layout, Shown, collect, tabulate
from penstock.flows.pipelines.overview import StepView, view_pipeline
from penstock.http.pages.data_views import opened
from penstock.http.pages.drawing.pipelines import draw_pipeline
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.measures import beside_each_other
from penstock.project.ci_reports import find_report, list_reports
from penstock.project.project import Project
from penstock.tracking.durations import view_durations

REPORTS = 30
BASELINES, EXPERIMENTS, COLUMNS = 5, 60, 12


@dataclass(frozen=True)
class Tried:
    """Experiments below the commits that they began at, with the metrics and parameters in which they differ.

    Each row is its name (empty for a commit that experiments began at), revision, time, state, and a cell a column.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, str, str, tuple[Any, ...]], ...]
    left_out: int
    older: int = 0
    """Commits that experiments began at and that are not looked at."""
    columns_left_out: int = 0


def _experiments(repo: DataRepository) -> Tried | None:
    """Return the newest experiments; None without any."""
    git = Git(repo.root)
    every = list(dict.fromkeys(one.baseline for one in list_experiments(git)))
    baselines = every[:BASELINES]
    head = git.head()
    baselines += [head] if head is not None and head not in baselines else []
    states = collect(repo, Shown(Baselines(revisions=tuple(baselines)), workspace=False)) if baselines else []
    states = [one for one in states if one["experiments"]]
    if not states:
        return None
    table = tabulate(states, Layout(only_changed=True))
    at = {name: place for place, name in enumerate(table.headers)}
    changed = [name for name in table.headers if name not in FIXED]
    shown = changed[:COLUMNS]
    rows = [
        (
            str(row[at["Experiment"]] or ""),
            str(row[at["rev"]] or ""),
            str(row[at["Created"]] or "") if "Created" in at else "",
            str(row[at["State"]] or "") if "State" in at else "",
            tuple(row[at[name]] for name in shown),
        )
        for row in table.rows
    ]
    return Tried(
        tuple(shown),
        tuple(rows[:EXPERIMENTS]),
        left_out=max(0, len(rows) - EXPERIMENTS),
        older=len(set(every) - set(baselines)),
        columns_left_out=len(changed) - len(shown),
    )


class PipelinePages:
    """Shows the pipeline of the working tree, and the CI runs of this machine."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    def pipeline(self, _request: Request) -> Response:
        """Stages with what is stale and why, how long each takes, and the newest CI runs."""
        steps: list[StepView] = []
        problem = ""
        tried: Tried | None = None
        try:
            with opened(self._project) as repo:
                steps = view_pipeline(repo)
                tried = _experiments(repo)
        except NotARepository:
            pass
        except PenstockError as error:
            problem = error.message
        with self._project.database.read() as connection:
            took = view_durations(connection)
        return self._renderer.page(
            "pipeline.html",
            steps=[one for one in steps if one.state != "data"],
            drawing=draw_pipeline(steps),
            answer=answer_of(steps),
            took=took,
            problem=problem,
            tried=tried,
            reports=list_reports(self._project, REPORTS),
        )

    def report(self, request: Request) -> Response:
        """The report of one CI run, by when it began and its commit."""
        text = request.path_params["commit"]
        started, _, commit = text.partition("-")
        found: CiReport | None = None
        if commit and started.isascii() and started.isdigit():
            reports = list_reports(self._project, 500)
            found = next(
                (one for one in reports if str(one.started_ms) == started and one.commit.startswith(commit)),
                None,
            )
        report = found or find_report(self._project, commit or text)
        metrics = beside_each_other(report.metrics, report.champion_metrics, sorted(report.metrics))
        return self._renderer.page("ci_run.html", report=report, metrics=metrics)


def answer_of(steps: list[StepView]) -> str:
    """Return whether results are up to date, in a sentence."""
    stages = [one for one in steps if one.state != "data"]
    stale = [one for one in stages if one.state == "stale"]
    waiting = [one for one in stages if one.state == "waits"]
    unknown = [one for one in stages if one.state == "unknown"]
    if unknown:
        return f"Nobody can say whether {unknown[0].address} is up to date: {unknown[0].reasons[0]}."
    if not stale:
        if len(stages) < 2:
            return f"{stages[0].address} is up to date." if stages else ""
        return f"All {counted(len(stages), 'stage')} are up to date."
    first = stale[0]
    why = ", ".join(first.reasons[:3]) + (
        f" and {len(first.reasons) - 3} more" if len(first.reasons) > 3 else ""
    )
    more = (
        f"; {len(stale) - 1} more are"
        if len(stale) > 2
        else f"; so is {stale[1].address}"
        if len(stale) > 1
        else ""
    )
    waits = f"; {', '.join(one.address for one in waiting[:3])} would run after it" if waiting else ""
    return f"{first.address} is stale: {why}{more}{waits}."
