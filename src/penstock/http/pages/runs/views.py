"""The pages of one run: what went in, what came out, its curves and files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from penstock.base.errors import PenstockError
from penstock.http.mlflow.files.places import model_root, proxied_path, run_root
from penstock.http.mlflow.files.proxy import list_artifacts
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.http.pages.drawing.charts import Chart
from penstock.http.pages.drawing.histories import history_chart
from penstock.http.pages.queries import query_of, refusal
from penstock.http.pages.render import Renderer
from penstock.http.pages.runs.tables import duration
from penstock.http.pages.telling.run_groups import group_names, group_params, group_values
from penstock.project.project import Project
from penstock.registry.search import RegistrySearch, search_versions
from penstock.registry.states import list_rolled_back
from penstock.tracking import runs as tracking
from penstock.tracking.datasets import list_models as list_model_links
from penstock.tracking.entities import PARENT_TAG, LoggedModel, Run
from penstock.tracking.logged_models import list_models
from penstock.tracking.metrics import Stored
from penstock.tracking.thinning import list_thinned_curves

CHARTS = 24
POINTS = 120
FILES = 500
VERSIONS = 50
CHILDREN = 100
NO_STEPS = "in the order logged: no steps"
NOTE_TAG = "mlflow.note.content"
ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})


class RunPages:
    """Shows one run."""

    def __init__(self, project: Project, artifacts: ArtifactService, renderer: Renderer) -> None:
        self._project = project
        self._artifacts = artifacts
        self._renderer = renderer

    async def run(self, request: Request) -> Response:
        """One run: parameters, metrics in groups with their curves, files, logged models, versions."""
        query = query_of(request)
        group = query["group"] if query.has("group") else None
        told = await run_in_threadpool(self._run, request.path_params["id"], group, query["model"])
        model = next((one for one in told["models"] if one.id == query["model"]), None)
        if model is None and query["model"]:
            raise refusal("model", f"is no model that this run logged: {query['model'][:60]!r}")
        inner = query["path"]
        uri = told["uri"] if model is None else _model_uri(model)
        files: list[dict[str, Any]] = []
        elsewhere = problem = None
        root = proxied_path(uri)
        if root is None:
            elsewhere = uri
        else:
            try:
                files = await list_artifacts(self._artifacts, root, inner)
            except PenstockError as error:
                problem = error.message
        return self._renderer.page(
            "run.html",
            **told,
            model=model,
            folder=inner,
            parent=inner.rpartition("/")[0],
            files=files[:FILES],
            file_limit=FILES,
            elsewhere=elsewhere,
            problem=problem,
        )

    def _run(self, run_id: str, group: str | None, wanted: str) -> dict[str, Any]:
        with self._project.database.read() as connection:
            run = tracking.get_run(connection, run_id)
            row = tracking.get_row(connection, run.id)
            groups = group_names(run.metrics)
            if group is not None and group not in groups:
                raise refusal("group", f"is no group of this run's metrics: {group[:60]!r}")
            shown = (
                groups.get(group, [])
                if group is not None
                else [key for keys in groups.values() for key in keys]
            )
            found = _charts(connection, run.id, shown[:CHARTS])
            children = tracking.list_children(connection, run.id, limit=CHILDREN)
            above = run.tags.get(PARENT_TAG, "")
            parents = tracking.list_rows(connection, [above]) if above else []
            versions = search_versions(connection, RegistrySearch(f"run_id = '{run.id}'", limit=VERSIONS))
            rolled_back = list_rolled_back(connection)
            made = [one.model_id for one in list_model_links(connection, [run.id]).get(run.id, [])]
            asked = [wanted] if wanted and wanted not in made else []
            models = [
                one
                for one in list_models(connection, [*made, *asked])
                if one.deleted_ms is None and (one.id in made or one.source_run_id == run.id)
            ]
        tags = {key: value for key, value in run.tags.items() if key not in {NOTE_TAG, PARENT_TAG}}
        return {
            "run": run,
            "row": row,
            "answer": _answer(run),
            "duration": duration(run),
            "is_live": run.status not in ENDED,
            "note": run.tags.get(NOTE_TAG, ""),
            "tags": {key: value for key, value in tags.items() if not key.startswith("mlflow.")},
            "client_tags": {key: value for key, value in tags.items() if key.startswith("mlflow.")},
            "groups": group_values(run.metrics),
            "group": group,
            "params": group_params(run.params),
            "charts": found,
            "chart_limit": CHARTS,
            "is_cut": len(shown) > CHARTS,
            "models": models,
            "versions": versions,
            "rolled_back": rolled_back,
            "parents": parents,
            "children": children,
            "child_limit": CHILDREN,
            "uri": run_root(row.experiment_id, row.experiment_artifact_uri, row.id, row.artifact_uri),
        }


def _answer(run: Run) -> str:
    """Return what became of a run, in one sentence."""
    if run.status not in ENDED:
        return "It is scheduled, and has not begun." if run.status == "SCHEDULED" else "It runs."
    took = f" after {duration(run)}" if run.end_ms else "; when was not told"
    word = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "was killed"}[run.status]
    failed = [one.name for one in run.stages if one.action == "failed"]
    where = f" at {', '.join(failed)}" if failed else ""
    return f"It {word}{where}{took}."


def _model_uri(model: LoggedModel) -> str:
    return model_root(model.experiment_id, model.experiment_artifact_uri, model.id, model.artifact_uri)


def _charts(connection: sa.Connection, run_id: str, keys: Sequence[str]) -> list[Chart]:
    """Return the curves of metrics that have one, thinned out to `POINTS` steps; without steps, by the order of their points."""
    stored = list_thinned_curves(connection, [run_id], keys, POINTS)
    curves = ((key, *curve_of(stored.get((run_id, key), []))) for key in keys)
    drawn = (history_chart(key, points, unit) for key, points, unit in curves)
    return [chart for chart in drawn if chart is not None]


def curve_of(points: Sequence[Stored]) -> tuple[list[tuple[int, float]], str]:
    """Return a metric's thinned points by step, or by their order in time where all are at one step; and which it is."""
    if points and points[0][3] != points[-1][3]:
        return [(step, math.nan if is_nan else value) for _, value, _, step, is_nan in points], "by step"
    numbered = [
        (place, math.nan if is_nan else value) for place, (_, value, _, _, is_nan) in enumerate(points)
    ]
    each = max(1, len(numbered) // POINTS)
    return [*numbered[:-1:each], *numbered[-1:]], NO_STEPS
