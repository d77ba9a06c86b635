"""The pages of a run and of an experiment, which the links that MLflow's client prints lead to."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from penstock.base.errors import Invalid, PenstockError
from penstock.http.mlflow.files.places import proxied_path, run_root
from penstock.http.mlflow.files.proxy import list_artifacts
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.http.mlflow.tracking.metrics import thin_out
from penstock.http.pages.charts import Chart
from penstock.http.pages.histories import history_chart
from penstock.http.pages.render import Renderer
from penstock.project.project import Project
from penstock.registry.search import RegistrySearch, search_versions
from penstock.tracking import runs as tracking
from penstock.tracking.entities import PARENT_TAG
from penstock.tracking.experiments import get_experiment, parse_experiment_id
from penstock.tracking.metrics import list_at_steps, list_history, list_steps
from penstock.tracking.search import RunSearch, search_runs

RUNS = 100
CHARTS = 24
POINTS = 200
FILES = 500
VERSIONS = 50
CHILDREN = 100


class RunPages:
    """Shows runs and experiments."""

    def __init__(self, project: Project, artifacts: ArtifactService, renderer: Renderer) -> None:
        self._project = project
        self._artifacts = artifacts
        self._renderer = renderer

    async def run(self, request: Request) -> Response:
        """One run: parameters, tags, metrics with their curves, files, model versions."""
        told = await run_in_threadpool(self._run, request.path_params["id"])
        inner = request.query_params.get("path", "")
        files: list[dict[str, Any]] = []
        elsewhere = problem = None
        root = proxied_path(told["uri"])
        if root is None:
            elsewhere = told["uri"]
        else:
            try:
                files = await list_artifacts(self._artifacts, root, inner)
            except PenstockError as error:
                problem = error.message
        return self._renderer.page(
            "run.html",
            **told,
            folder=inner,
            parent=inner.rpartition("/")[0],
            files=files[:FILES],
            file_limit=FILES,
            elsewhere=elsewhere,
            problem=problem,
        )

    def _run(self, run_id: str) -> dict[str, Any]:
        with self._project.database.read() as connection:
            run = tracking.get_run(connection, run_id)
            row = tracking.get_row(connection, run.id)
            found = [_chart(connection, run.id, key) for key in list(run.metrics)[:CHARTS]]
            children = tracking.list_children(connection, run.id, limit=CHILDREN)
            above = run.tags.get(PARENT_TAG, "")
            parents = tracking.list_rows(connection, [above]) if above else []
            versions = search_versions(connection, RegistrySearch(f"run_id = '{run.id}'", limit=VERSIONS))
        return {
            "run": run,
            "row": row,
            "charts": [chart for chart in found if chart is not None],
            "versions": versions,
            "parents": parents,
            "children": children,
            "child_limit": CHILDREN,
            "uri": run_root(row.experiment_id, row.experiment_artifact_uri, row.id, row.artifact_uri),
        }

    def experiment(self, request: Request) -> Response:
        """One experiment: its runs, narrowed by a filter."""
        number = parse_experiment_id(request.path_params["id"])
        text = request.query_params.get("filter", "").strip()
        problem = None
        with self._project.database.read() as connection:
            experiment = get_experiment(connection, number)
            try:
                ids = search_runs(connection, RunSearch([number], text, limit=RUNS))
            except Invalid as error:
                ids, problem = [], error.message
            found = tracking.load_runs(connection, ids)
        return self._renderer.page(
            "experiment.html",
            experiment=experiment,
            runs=found,
            limit=RUNS,
            filter_text=text,
            problem=problem,
        )


def _chart(connection: sa.Connection, run_id: str, key: str) -> Chart | None:
    """Return a metric's curve, thinned out to `POINTS` steps; without steps, by the order of its points."""
    steps = list_steps(connection, [run_id], key, None).get(run_id, [])
    if len(steps) > 1:
        points = list_at_steps(connection, run_id, key, sorted(thin_out(steps, POINTS)))
        return history_chart(key, [(step, _value(value, is_nan)) for _, value, _, step, is_nan in points])
    stored = list_history(connection, run_id, key, limit=POINTS)
    numbered = [(place, _value(value, is_nan)) for place, (_, value, _, _, is_nan) in enumerate(stored)]
    return history_chart(key, numbered, "by time")


def _value(value: float, is_nan: bool) -> float:
    return math.nan if is_nan else value
