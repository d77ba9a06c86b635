"""The pipeline's plots after a CI run, drawn over those of what it is compared with, as one page."""

from __future__ import annotations

from typing import NamedTuple

from penstock.base.errors import NotFound, PenstockError, told_of_system
from penstock.base.files import write_atomic
from penstock.flows.pipelines.plotting import WORKSPACE, Wanted, collect_plots
from penstock.pipeline.plots.definitions import load_definitions
from penstock.pipeline.plots.drawing import Drawn, draw_page
from penstock.project.project import Project
from penstock.registry.entities import ModelVersion

PLOTS_FILE = "ci/plots.html"


class DrawnPlots(NamedTuple):
    """Which plots are on the page, and why some are not."""

    names: tuple[str, ...] = ()
    problem: str | None = None


def draw_plots(project: Project, tree: Project, champion: ModelVersion | None) -> DrawnPlots:
    """Draw the plots of a run's tree over those of the champion's commit, and keep the page in `project`.

    The page of the run before is gone then, also where there is nothing to draw. A failure is told, not raised.
    """
    place = project.home / PLOTS_FILE
    place.unlink(missing_ok=True)
    try:
        if not load_definitions(tree.data):
            return DrawnPlots()
        found = collect_plots(tree.data, _revisions(tree, champion), Wanted())
        drawn = []
        for plot in found.plots:
            drawn += [Drawn(plot.id, plot.spec)] if plot.spec is not None else []
            drawn += [Drawn(plot.id, None, one.data, one.revision) for one in plot.pictures]
        if drawn:
            page = draw_page(drawn, project.data.dvc_dir / "tmp")
            write_atomic(place, page.encode(), durable=False)
    except PenstockError as error:
        return DrawnPlots(problem=error.message)
    except OSError as error:  # such as a full disk
        return DrawnPlots(problem=told_of_system(error).message)
    missing = [name for name, revision, _ in found.problems if revision in ("", WORKSPACE)]
    problem = f"{', '.join(dict.fromkeys(missing))} cannot be read" if missing else None
    return DrawnPlots(tuple(plot.id for plot in found.plots), problem)


def load_plots(project: Project) -> bytes:
    """Return the page of the last run here.

    Raises:
        NotFound: it drew none.
    """
    try:
        return (project.home / PLOTS_FILE).read_bytes()
    except FileNotFoundError:
        raise NotFound(
            "the last CI run here drew no plots", code="ci.no_plots", hint="penstock plots show"
        ) from None


def _revisions(tree: Project, champion: ModelVersion | None) -> list[str]:
    commit = champion.provenance.commit if champion is not None else None
    if commit is None or not tree.git.run("rev-parse", "--verify", "--quiet", commit, check=False):
        return [WORKSPACE]
    return [WORKSPACE, commit]
