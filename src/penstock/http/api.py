"""`/api/penstock/v1`: endpoints, revisions, windows, events and lineage, read-only, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.base.errors import Invalid
from penstock.base.events import list_events
from penstock.flows.lineage import explain
from penstock.flows.overview import overview
from penstock.flows.project import Project
from penstock.http.errors import json_response
from penstock.serving.deployments import get_revision, list_revisions

PREFIX = "/api/penstock/v1"
MAX_EVENTS = 1000


def api_routes(project: Project) -> list[Route]:
    """Return the routes of the product's own API."""
    api = _Api(project)

    def route(path: str, work: Callable[[Request], Any]) -> Route:
        async def answer(request: Request) -> Response:
            return json_response(await run_in_threadpool(work, request))

        return Route(f"{PREFIX}{path}", answer, methods=["GET"])

    return [
        route("/endpoints", api.endpoints),
        route("/endpoints/{name}/revisions", api.revisions),
        route("/events", api.events),
        route("/lineage/{subject:path}", api.lineage),
    ]


class _Api:
    def __init__(self, project: Project) -> None:
        self._project = project

    def endpoints(self, _request: Request) -> Any:
        """Every endpoint with its health, windows and findings."""
        return msgspec.to_builtins(overview(self._project))

    def revisions(self, request: Request) -> Any:
        """An endpoint's revisions, newest first."""
        name = request.path_params["name"]
        with self._project.database.read() as connection:
            get_revision(connection, name)
            return msgspec.to_builtins(list_revisions(connection, name))

    def events(self, request: Request) -> Any:
        """Events after an id, oldest first."""
        after_id = _number(request, "after", 0)
        limit = min(_number(request, "limit", 100), MAX_EVENTS)
        with self._project.database.read() as connection:
            return msgspec.to_builtins(list_events(connection, after_id=after_id, limit=limit))

    def lineage(self, request: Request) -> Any:
        """The chain of a subject."""
        return msgspec.to_builtins(explain(self._project, request.path_params["subject"]))


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdigit() or len(text) > 15:
        raise Invalid(f"`{name}` must be a whole number, not {text!r}", code="http.bad_parameter", field=name)
    return int(text)
