"""The pages of many runs: which was best, what it differs in, and every run as a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from penstock.http.pages.queries import query_of
from penstock.http.pages.render import Renderer
from penstock.http.pages.runs.grouping import find_groups
from penstock.http.pages.runs.tables import (
    LOOKED_AT,
    Asked,
    RunTable,
    best_runs,
    differing,
    find_runs,
    is_loss,
)
from penstock.http.pages.runs.views import NOTE_TAG
from penstock.project.project import Project
from penstock.records.limits import MAX_LISTED
from penstock.registry.states import find_rolled_back
from penstock.registry.versions import list_versions_of_run
from penstock.tracking import runs as tracking
from penstock.tracking.entities import Run
from penstock.tracking.experiments import get_experiment, list_active_ids, parse_experiment_id
from penstock.tracking.search import ExperimentSearch, search_experiments

EXPERIMENTS = 1000
NAMED = 12
"""So many experiments are named above the runs of all."""
COUNTED = 100
"""So many of the best runs are counted where they share a value."""
MAX_DIFFERENCES = 6


@dataclass(frozen=True)
class Best:
    """The best run by one metric, the next that is no copy of it, and in what they differ, `more` things besides.

    `shared` is how many have its value, itself too; with several there is nothing that it alone differs in. Where
    `is_more`, there are so many that they were not all counted. `is_alone`: no other run has the metric. `refused` is the run that would have been best but for its model, which was rolled back, and why.
    There is no `run` where all were.
    """

    metric: str
    run: Run | None = None
    next: Run | None = None
    differences: tuple[tuple[str, str, str], ...] = ()
    more: int = 0
    shared: int = 1
    is_more: bool = False
    tied: tuple[Run, ...] = ()
    is_alone: bool = False
    refused: Run | None = None
    refused_ref: str = ""
    why: str = ""


class _Refusal(TypedDict, total=False):
    refused: Run
    refused_ref: str
    why: str


class ListPages:
    """Shows lists of runs and experiments."""

    def __init__(self, project: Project, renderer: Renderer) -> None:
        self._project = project
        self._renderer = renderer

    def runs(self, request: Request) -> Response:
        """Runs of all experiments."""
        asked = Asked.of(query_of(request))
        with self._project.database.read() as connection:
            experiments = search_experiments(connection, ExperimentSearch(limit=NAMED))
            every = list_active_ids(connection)
            ids = every[:MAX_LISTED]
            table = find_runs(connection, ids, asked)
            groups = find_groups(connection, ids, table)
            best = self._best(connection, ids, table)
        return self._renderer.page(
            "runs.html",
            table=table,
            groups=groups,
            best=best,
            experiments=experiments,
            experiment_count=len(every),
            searched_count=len(ids),
            here_address="/runs",
            limit=asked.size,
            server=self._renderer.address_of(request),
        )

    def experiments(self, _request: Request) -> Response:
        """Every experiment."""
        with self._project.database.read() as connection:
            found = search_experiments(connection, ExperimentSearch(limit=EXPERIMENTS))
            last = search_experiments(
                connection, ExperimentSearch(order_by=["last_update_time DESC"], limit=1)
            )
            count = len(list_active_ids(connection))
        return self._renderer.page("experiments.html", experiments=found, newest=last, count=count)

    def experiment(self, request: Request) -> Response:
        """One experiment: its runs, narrowed by a filter."""
        number = parse_experiment_id(request.path_params["id"])
        asked = Asked.of(query_of(request))
        with self._project.database.read() as connection:
            experiment = get_experiment(connection, number)
            table = find_runs(connection, [number], asked)
            groups = find_groups(connection, [number], table)
            best = self._best(connection, [number], table)
        return self._renderer.page(
            "experiment.html",
            experiment=experiment,
            table=table,
            groups=groups,
            best=best,
            here_address=f"/experiments/{number}",
            note=experiment.tags.get(NOTE_TAG, ""),
            tags={key: value for key, value in experiment.tags.items() if key != NOTE_TAG},
            limit=asked.size,
            server=self._renderer.address_of(request),
        )

    def _best(self, connection: sa.Connection, ids: Sequence[int], table: RunTable) -> Best | None:
        """Return the best of the runs that match, by the metric that is ordered by, else that gates judge."""
        metric = self._metric(table)
        if metric is None:
            return None
        out = table.rolled_back
        most = LOOKED_AT + len(out)
        found = table.ranked.get(metric) or best_runs(connection, ids, table.asked.filter, metric, most)
        counted = {one: value for one, value in found.items() if one not in out}
        runs = _loaded(connection, list(counted)[:LOOKED_AT], metric)
        first = next(iter(found), None)
        refusal = self._refusal(connection, first, metric) if first in out else {}
        if not runs:
            return Best(metric, **refusal) if refusal else None
        value = runs[0].metrics[metric]
        if len(found) >= most and list(counted.values())[-1] == value:  # who else shares it?
            more = best_runs(connection, ids, table.asked.filter, metric, COUNTED + 1 + len(out))
            counted = {one: value for one, value in more.items() if one not in out}
        tied = [one for one in counted if counted[one] == value]
        others = [one for one in counted if counted[one] != value][:1] if runs[0].id in tied else []
        seen = [one for one in runs if one.id in others] or _loaded(connection, others, metric)
        other = seen[0] if seen else None
        differences = differing(runs[0], other) if other and len(tied) < 2 else []
        return Best(
            metric,
            runs[0],
            other,
            tuple(differences[:MAX_DIFFERENCES]),
            more=max(0, len(differences) - MAX_DIFFERENCES),
            shared=min(max(1, len(tied)), COUNTED),
            is_more=len(tied) > COUNTED,
            tied=tuple(one for one in runs if one.id in tied),
            is_alone=len(runs) == 1,
            **refusal,
        )

    def _refusal(self, connection: sa.Connection, run_id: str | None, metric: str) -> _Refusal:
        """Return the run that would have been best but for its model, and what became of that; nothing without one."""
        for run in _loaded(connection, [run_id] if run_id else [], metric):
            for version in list_versions_of_run(connection, run.id):
                state = find_rolled_back(connection, version)
                if state is not None:
                    return {"refused": run, "refused_ref": version.ref, "why": state.why_of(version)}
        return {}

    def _metric(self, table: RunTable) -> str | None:
        shown = [one.key for one in table.columns if one.kind == "metrics" and is_loss(one.key) is not None]
        ordered = [one.key for one in table.columns if one.kind == "metrics" and one.arrow]
        gates = self._project.readable_settings.gates
        judged = [one.settings.name for one in gates if one.kind == "metric"]
        return next((key for key in (*ordered, *judged, *shown) if key in shown or key in ordered), None)


def _loaded(connection: sa.Connection, ids: Sequence[str], metric: str) -> list[Run]:
    return [one for one in tracking.load_runs(connection, ids) if metric in one.metrics]
