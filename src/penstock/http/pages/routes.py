"""The pages: which there are, and at which address. Everything they show is also in the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import iscoroutinefunction
from typing import cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from penstock.flows.production.controlling.health import Watched
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.http.pages.chains import ChainPages
from penstock.http.pages.data_views import DataPages
from penstock.http.pages.decisions.aliases import AliasPages
from penstock.http.pages.decisions.endpoints import DecisionPages
from penstock.http.pages.endpoint_views import EndpointPages
from penstock.http.pages.list_views import ListPages
from penstock.http.pages.looks import Looks
from penstock.http.pages.model_views import ModelPages
from penstock.http.pages.overview_views import OverviewPages
from penstock.http.pages.pipeline_views import PipelinePages
from penstock.http.pages.queries import Choice, Number, Parameter, read_query
from penstock.http.pages.ranges import SPANS
from penstock.http.pages.render import STATIC, Renderer
from penstock.http.pages.runs.artifact_views import ArtifactPages, VersionFilePages
from penstock.http.pages.runs.compare_views import SMOOTHINGS, ComparePages
from penstock.http.pages.runs.explore_views import ExplorePages
from penstock.http.pages.runs.tables import MAX_FILTER
from penstock.http.pages.runs.views import RunPages
from penstock.http.pages.search_views import SearchPages
from penstock.http.pages.telling.formatting import segment
from penstock.http.pages.version_compare_views import VersionComparePages
from penstock.project.project import Project
from penstock.tracking.logged_models import get_model

View = Callable[[Request], Response]
AsyncView = Callable[[Request], Awaitable[Response]]
KIND, WORDS, ALIAS = Parameter("kind"), Parameter("q"), Parameter("alias", 200)
REASON = Parameter("reason")
VERSIONS = Parameter("versions", 2000, is_many=True)
MODEL, PATH = Parameter("model"), Parameter("path", 4000, is_verbatim=True)
ALL, NUMBERS = Choice("all", of=("1",)), Choice("numbers", of=("1",))
TIMES = (Parameter("from", 40), Parameter("to", 40))
RUNS = (
    Parameter("filter", MAX_FILTER), Parameter("order", 600), Parameter("column", 400, is_many=True), Parameter("page", 4000),
    Parameter("group", 300),
)  # fmt: skip
COMPARED = (
    Parameter("runs", 40_000, is_many=True), Parameter("chosen", 40_000, is_many=True), Parameter("x"), Parameter("y"),
    Choice("scale", of=("log",)), Choice("along", of=("time",)), Choice("smooth", of=SMOOTHINGS),
)  # fmt: skip
"""What each page may be asked for stands in the table of routes; these are taken by more than one, or are long."""


class Page(Route):
    """A page: its address, what makes it, and what its address may ask for.

    Args:
        is_form: whether it is sent back as a form, too.
    """

    def __init__(
        self,
        address: str,
        view: View | AsyncView,
        *takes: Parameter,
        is_form: bool = False,
        methods: Sequence[str] = ("GET",),
    ) -> None:
        self.takes = takes

        async def answer(request: Request) -> Response:
            read_query(request, takes)
            if iscoroutinefunction(view):
                return await cast(AsyncView, view)(request)
            return await run_in_threadpool(cast(View, view), request)

        super().__init__(address, answer, methods=[*methods, "POST"] if is_form else list(methods))


def page_routes(
    project: Project, controller: Watched, artifacts: ArtifactService, base: str = ""
) -> list[BaseRoute]:
    """Return the routes of all pages and of what they load; their links begin with `base`."""
    renderer = Renderer(project.readable_settings.project, base)
    looks = Looks(project, controller)
    endpoints = EndpointPages(project, looks, renderer)
    overview = OverviewPages(project, controller, looks, renderer)
    models, lists = ModelPages(project, looks, renderer), ListPages(project, renderer)
    search, decisions = SearchPages(project, renderer), DecisionPages(project, renderer)
    data, pipeline = DataPages(project, renderer), PipelinePages(project, renderer)
    chains = ChainPages(project, renderer)
    files, kept = (
        ArtifactPages(project, artifacts, renderer),
        VersionFilePages(project, artifacts, renderer),
    )
    runs, exploring = RunPages(project, artifacts, renderer), ExplorePages(project)

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

    aliases = AliasPages(project, renderer)
    return [
        Page("/", overview.overview),
        Page("/events", overview.events, KIND, Parameter("subject"), WORDS, Number("before")),
        Page("/endpoints", overview.endpoints),
        Page("/endpoints/{name:path}/rollback", decisions.rollback, Number("to", 9), REASON, is_form=True),
        Page("/endpoints/{name:path}/promote", decisions.promote, REASON, is_form=True),
        Page("/endpoints/{name:path}/drift", endpoints.drift, *TIMES, Number("version", 9), ALL),
        Page("/endpoints/{name:path}", endpoints.endpoint, *TIMES, Choice("span", of=tuple(SPANS)), NUMBERS),
        Page("/models", models.models),
        Page("/models/{name}", models.model, ALIAS, Parameter("at", 40)),
        Page("/models/{name}/compare", VersionComparePages(project, renderer).compare, VERSIONS),
        Page("/models/{name}/{number}", models.version, Parameter("comment")),
        Page("/models/{name}/{number}/card", models.card),
        Page("/models/{name}/{number}/files", kept.view, PATH),
        Page("/models/{name}/{number}/raw", kept.raw, PATH),
        Page("/models/{name}/{number}/download", kept.download, PATH),
        Page("/models/{name}/{number}/card.md", models.card),
        Page("/models/{name}/{number}/approve", aliases.approve, methods=("POST",)),
        Page("/models/{name}/{number}/promote", aliases.promote, ALIAS, REASON, is_form=True),
        Page("/data", data.data),
        Page("/data/{path:path}", data.path, Parameter("old", 64), Parameter("new", 64)),
        Page("/pipeline", pipeline.pipeline),
        Page("/ci/{commit}", pipeline.report),
        Page("/search", search.search, WORDS),
        Page("/why", search.why, Parameter("subject")),
        Page("/why/{subject:path}", chains.lineage),
        Page("/lineage/{subject:path}", chains.lineage),
        Page("/runs", lists.runs, *RUNS),
        Page("/runs/{id}", runs.run, Parameter("group"), MODEL, PATH),
        Page("/runs/{id}/view", files.view, MODEL, PATH),
        Page("/runs/{id}/raw", files.raw, MODEL, PATH),
        Page("/compare", ComparePages(project, renderer).compare, *COMPARED),
        Page("/compare/{name}.svg", exploring.picture, *COMPARED),
        Page("/experiments", lists.experiments),
        Page("/experiments/{id}", lists.experiment, *RUNS),
        Page("/logged-models/{id}", logged_model),
        Page("/static/vega-{build}.js", exploring.library),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
    ]
