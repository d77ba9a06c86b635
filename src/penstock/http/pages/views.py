"""The pages: what each shows, and at which address. Everything they show is also in the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.base.store.events import list_events
from penstock.flows.chain.lineage import Link
from penstock.flows.models.views import VersionView, view_versions
from penstock.flows.production.health import Watched
from penstock.flows.production.overview import HEALTHS, overview
from penstock.flows.production.watching import observe
from penstock.flows.production.windows import WindowView, view_windows
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.http.pages.charts import Chart, bar_chart, line_chart
from penstock.http.pages.render import STATIC, Renderer, path
from penstock.http.pages.run_views import RunPages
from penstock.http.subjects import explain_subject, named_version
from penstock.monitoring.alerts import list_open_alerts
from penstock.monitoring.findings import list_findings
from penstock.monitoring.policies import list_policy_steps, policy_or_none_yet
from penstock.monitoring.quality import METRICS
from penstock.monitoring.settings import EndpointSettings
from penstock.project.project import Project
from penstock.registry.search import RegistrySearch, search_models
from penstock.serving.deployments import get_revision, list_revisions
from penstock.tracking import runs as tracking
from penstock.tracking.search import ExperimentSearch, search_experiments

EVENTS = 20
WINDOWS = 60
RUNS = 100
VERSIONS = 100
MODELS = 1000
EXPERIMENTS = 50
STALE_MS = 10_000

View = Callable[[Request], Response]
Shown = TypeVar("Shown")


def page_routes(
    project: Project, controller: Watched, artifacts: ArtifactService, base: str = ""
) -> list[BaseRoute]:
    """Return the routes of all pages and of what they load; their links begin with `base`."""
    renderer = Renderer(project.readable_settings.project, base)
    pages = _Pages(project, controller, renderer)
    runs = RunPages(project, artifacts, renderer)

    def route(address: str, view: View) -> Route:
        async def answer(request: Request) -> Response:
            return await run_in_threadpool(view, request)

        return Route(address, answer, methods=["GET"])

    return [
        route("/", pages.overview),
        route("/fragments/overview", pages.overview_fragment),
        route("/endpoints/{name:path}", pages.endpoint),
        route("/models", pages.models),
        route("/models/{name}/{number}", pages.version),
        route("/lineage/{subject:path}", pages.lineage),
        route("/why", pages.why),
        route("/runs", pages.runs),
        Route("/runs/{id}", runs.run, methods=["GET"]),
        route("/experiments/{id}", runs.experiment),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]


class _Pages:
    def __init__(self, project: Project, controller: Watched, renderer: Renderer) -> None:
        self._project = project
        self._controller = controller
        self._renderer = renderer

    def overview(self, _request: Request) -> Response:
        """Every endpoint as a card, and what happened last."""
        return self._renderer.page("overview.html", **self._overview())

    def overview_fragment(self, _request: Request) -> Response:
        """The changing part of the overview."""
        return self._renderer.page("_overview.html", **self._overview())

    def _overview(self) -> dict[str, Any]:
        seen = self._controller.health
        endpoints = overview(self._project)
        with self._project.database.read() as connection:
            events = list_events(connection, limit=EVENTS)
        is_stale = seen.ticked_ms is None or now_ms() - seen.ticked_ms > STALE_MS
        return {
            "endpoints": endpoints,
            "healths": {word: sum(one.health == word for one in endpoints) for word in HEALTHS},
            "events": list(reversed(events)),
            "controller": seen,
            "is_stale": is_stale,
            "now_ms": now_ms(),
        }

    def endpoint(self, request: Request) -> Response:
        """One endpoint: traffic, findings, revisions, policies, events; what cannot be read says so."""
        name = request.path_params["name"]
        with self._project.database.read() as connection:
            revision = get_revision(connection, name)
            alerts = list_open_alerts(connection, name)
            revisions = list_revisions(connection, name)
            events = list_events(connection, subject=f"endpoint:{name}", limit=EVENTS)
        problems: list[str] = []
        policy = self._readable(
            problems, lambda connection: policy_or_none_yet(connection, name, revision.model)
        )
        steps = self._readable(problems, lambda connection: list_policy_steps(connection, name))
        breaches = self._readable(
            problems, lambda connection: list_findings(connection, name, breached=True, limit=EVENTS)
        )
        seen = self._readable(problems, lambda _connection: observe(self._project, name))
        windows = self._readable(
            problems, lambda _connection: view_windows(self._project, name, limit=WINDOWS)
        )
        windows = windows or []
        view = next((one for one in overview(self._project) if one.name == name), None)
        order = {"breached": 0, "unjudged": 1, "held": 2}
        return self._renderer.page(
            "endpoint.html",
            revision=revision,
            policy=policy,
            policies=steps or [],
            problems=list(dict.fromkeys(problems)),
            view=view,
            charts=_charts(windows, _metric(policy.settings if policy else None, windows)),
            windows=list(reversed(windows)),
            findings=sorted(seen.findings, key=lambda one: order[one.state]) if seen else [],
            is_judged=seen is not None,
            alerts=alerts,
            breaches=breaches or [],
            revisions=revisions,
            events=list(reversed(events)),
        )

    def _readable(self, problems: list[str], read: Callable[[sa.Connection], Shown]) -> Shown | None:
        """Return what can be read; None instead of what is damaged, with the reason in words."""
        try:
            with self._project.database.read() as connection:
                return read(connection)
        except Exception as error:  # noqa: BLE001  (one row's damage must not hide the rest of the page)
            problems.append(
                error.message if isinstance(error, PenstockError) else f"{type(error).__name__}: {error}"
            )
            return None

    def models(self, _request: Request) -> Response:
        """Every model with its versions, newest first."""
        shown = view_versions(self._project, VERSIONS)
        with self._project.database.read() as connection:
            names = search_models(connection, RegistrySearch(limit=MODELS))
        groups: dict[str, list[VersionView]] = {one.version.model: [] for one in shown}
        groups |= {name: [] for name in names}
        for one in shown:
            groups[one.version.model].append(one)
        return self._renderer.page("models.html", models=groups, limit=VERSIONS, count=len(shown))

    def version(self, request: Request) -> Response:
        """One model version with its verdict and its chain."""
        found = named_version(self._project, request.path_params["name"], request.path_params["number"])
        chain = explain_subject(self._project, found.version.ref)
        size = sum(file.size for file in found.version.manifest.files)
        links = [one for one in _linked(chain.links) if one[0].kind not in {"model version", "verdict"}]
        return self._renderer.page("version.html", found=found, size=size, links=links)

    def lineage(self, request: Request) -> Response:
        """The chain of a subject."""
        chain = explain_subject(self._project, request.path_params["subject"])
        return self._renderer.page("lineage.html", chain=chain, links=_linked(chain.links))

    def why(self, request: Request) -> Response:
        """Lead from the search box to the chain of what was asked for."""
        subject = request.query_params.get("subject", "").strip()
        if not subject:
            return self._renderer.page("why.html")
        return RedirectResponse(f"{self._renderer.base}/lineage/{quote(subject, safe='/@')}", 303)

    def runs(self, _request: Request) -> Response:
        """The newest runs."""
        with self._project.database.read() as connection:
            found = tracking.list_runs(connection, limit=RUNS)
            experiments = search_experiments(connection, ExperimentSearch(limit=EXPERIMENTS))
        return self._renderer.page("runs.html", runs=found, limit=RUNS, experiments=experiments)


def _linked(links: tuple[Link, ...]) -> list[tuple[Link, str | None]]:
    return [(link, _address(link)) for link in links]


def _address(link: Link) -> str | None:
    """Return the page of a link's own, or None."""
    if link.kind == "model version":
        return f"/models/{path(link.key)}"
    if link.kind == "deployment":
        return f"/endpoints/{quote(link.key.rpartition('#')[0], safe='')}"
    if link.kind == "run":
        return f"/runs/{path(link.key)}"
    if link.kind == "commit":
        return f"/lineage/{path(link.key)}"
    if link.kind == "data" and isinstance(link.details.get("path"), str):
        return f"/lineage/{path(link.details['path'])}"
    return None


def _metric(settings: EndpointSettings | None, windows: list[WindowView]) -> str | None:
    """Return the metric the guardrails judge, else one the labels tell."""
    guardrails = settings.guardrails if settings else ()
    judged = [entry.quality.metric for entry in guardrails if entry.quality is not None]
    told = {name for window in windows for name in window.quality}
    ordered = [*judged, "roc_auc", "accuracy", "rmse", *sorted(METRICS)]
    return next((name for name in ordered if name in told), None)


def _charts(windows: list[WindowView], metric: str | None) -> list[Chart]:
    drawn = [
        bar_chart("Requests", "requests a window", windows, lambda one: one.request_count),
        line_chart("Latency p99", "milliseconds", windows, lambda one: one.p99_ms),
        line_chart("Failed requests", "% of requests", windows, _failed_percent),
    ]
    if metric is not None:
        drawn.insert(
            2, line_chart(f"Live {metric}", "from labels", windows, lambda one: one.quality.get(metric))
        )
    return [chart for chart in drawn if chart is not None]


def _failed_percent(window: WindowView) -> float | None:
    return 100 * window.error_ratio if window.request_count else None
