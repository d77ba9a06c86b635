"""The pages: which there are, and at which address. Everything they show is also in the API."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from penstock.flows.production.health import Watched
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.http.pages.artifact_views import ArtifactPages, VersionFilePages
from penstock.http.pages.chains import ChainPages
from penstock.http.pages.compare_views import ComparePages
from penstock.http.pages.data_views import DataPages
from penstock.http.pages.decisions.aliases import AliasPages
from penstock.http.pages.decisions.endpoints import DecisionPages
from penstock.http.pages.endpoint_views import EndpointPages
from penstock.http.pages.explore_views import ExplorePages
from penstock.http.pages.list_views import ListPages
from penstock.http.pages.looks import Looks
from penstock.http.pages.model_views import ModelPages
from penstock.http.pages.overview_views import OverviewPages
from penstock.http.pages.pipeline_views import PipelinePages
from penstock.http.pages.render import STATIC, Renderer
from penstock.http.pages.run_views import RunPages
from penstock.http.pages.search_views import SearchPages
from penstock.http.pages.telling.formatting import segment
from penstock.project.project import Project
from penstock.tracking.logged_models import get_model

View = Callable[[Request], Response]


def page_routes(
    project: Project, controller: Watched, artifacts: ArtifactService, base: str = ""
) -> list[BaseRoute]:
    """Return the routes of all pages and of what they load; their links begin with `base`."""
    renderer = Renderer(project.readable_settings.project, base)
    looks = Looks(project, controller)
    endpoints = EndpointPages(project, looks, renderer)
    overview = OverviewPages(project, controller, looks, renderer)
    models, lists = ModelPages(project, renderer), ListPages(project, renderer)
    search, decisions = SearchPages(project, renderer), DecisionPages(project, renderer)
    data, pipeline = DataPages(project, renderer), PipelinePages(project, renderer)
    chains = ChainPages(project, renderer)
    files, kept = (
        ArtifactPages(project, artifacts, renderer),
        VersionFilePages(project, artifacts, renderer),
    )
    runs, exploring = RunPages(project, artifacts, renderer), ExplorePages(project)

    def route(address: str, view: View) -> Route:
        async def answer(request: Request) -> Response:
            return await run_in_threadpool(view, request)

        return Route(address, answer, methods=["GET"])

    def logged_model(request: Request) -> Response:
        """Lead from a logged model to the run that made it."""
        with project.database.read() as connection:
            found = get_model(connection, request.path_params["id"])
        run_id = found.source_run_id
        place = (
            f"/runs/{segment(run_id)}?model={segment(found.id)}#files"
            if run_id
            else f"/experiments/{found.experiment_id}"
        )
        return RedirectResponse(f"{base}{place}", 303)

    return [
        route("/", overview.overview),
        route("/events", overview.events),
        route("/endpoints", overview.endpoints),
        Route("/endpoints/{name:path}/rollback", decisions.rollback, methods=["GET", "POST"]),
        Route("/endpoints/{name:path}/promote", decisions.promote, methods=["GET", "POST"]),
        route("/endpoints/{name:path}/drift", endpoints.drift),
        route("/endpoints/{name:path}", endpoints.endpoint),
        route("/models", models.models),
        route("/models/{name}", models.model),
        route("/models/{name}/{number}", models.version),
        route("/models/{name}/{number}/card", models.card),
        Route("/models/{name}/{number}/files", kept.view, methods=["GET"]),
        Route("/models/{name}/{number}/raw", kept.raw, methods=["GET"]),
        Route("/models/{name}/{number}/download", kept.download, methods=["GET"]),
        route("/models/{name}/{number}/card.md", models.card),
        Route("/models/{name}/{number}/approve", AliasPages(project, renderer).approve, methods=["POST"]),
        Route(
            "/models/{name}/{number}/promote", AliasPages(project, renderer).promote, methods=["GET", "POST"]
        ),
        route("/data", data.data),
        route("/data/{path:path}", data.path),
        route("/pipeline", pipeline.pipeline),
        route("/ci/{commit}", pipeline.report),
        route("/search", search.search),
        route("/why", search.why),
        route("/why/{subject:path}", chains.lineage),
        route("/lineage/{subject:path}", chains.lineage),
        route("/runs", lists.runs),
        Route("/runs/{id}", runs.run, methods=["GET"]),
        Route("/runs/{id}/view", files.view, methods=["GET"]),
        Route("/runs/{id}/raw", files.raw, methods=["GET"]),
        route("/compare", ComparePages(project, renderer).compare),
        route("/compare/{name}.svg", exploring.picture),
        route("/experiments", lists.experiments),
        route("/experiments/{id}", lists.experiment),
        route("/logged-models/{id}", logged_model),
        route("/static/vega-{build}.js", exploring.library),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]
