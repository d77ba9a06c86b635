"""`/api/penstock/v1`: endpoints, revisions, windows, events, models, verdicts, runs and lineage as JSON.

Read-only, but for approvals and for what services of the user's own tell (`http/told.py`). Every route stands once in `_Api.routes`, with what it answers; the router and the OpenAPI
document are both made from that list, so neither can say what the other does not do.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.access.admission import Admission
from penstock.base.errors import Invalid
from penstock.base.store.events import Event, list_events
from penstock.flows.chain.links import Explanation
from penstock.flows.models.evidence.approving import decide_approval
from penstock.flows.models.views import ModelView, VersionView, view_models
from penstock.flows.production.overview import EndpointView, overview
from penstock.flows.production.windows import WindowView, view_windows
from penstock.http.bodies import MEBIBYTE, read_body
from penstock.http.caller import caller_of
from penstock.http.errors import json_response
from penstock.http.operations import PREFIX, Operation, Telling, openapi
from penstock.http.subjects import explain_subject, named_version
from penstock.http.told import TellingServices
from penstock.project.project import Project
from penstock.registry.approvals import Approval
from penstock.registry.entities import ModelVersion, Verdict
from penstock.registry.models import no_model
from penstock.registry.references import resolve_version
from penstock.registry.verdicts import get_verdict
from penstock.registry.versions import list_versions
from penstock.serving.deployments import Revision, get_revision, list_revisions
from penstock.tracking import runs as tracking
from penstock.tracking.entities import Run

MAX_ITEMS = 1000
MAX_BODY_BYTES = 64 * MEBIBYTE


def api_routes(project: Project, admission: Admission | None = None) -> list[Route]:
    """Return the routes of the product's own API.

    Args:
        admission: who decides on what services of the user's own tell; None: nobody is asked.
    """
    services = TellingServices(project, admission)
    operations = (*_Api(project).operations(), *services.operations())
    document = functools.cache(lambda: openapi(operations))  # 30 ms, which a start need not take

    def route(operation: Operation) -> Route:
        async def answer(request: Request) -> Response:
            body = b""
            if operation.method == "POST":
                body = await read_body(request, MAX_BODY_BYTES)

            def work() -> Any:
                if isinstance(operation, Telling):
                    return operation.tell(request, body)
                _check_caller(project, operation, request)
                return operation.work(request)

            return json_response(await run_in_threadpool(work))

        return Route(f"{PREFIX}{operation.path}", answer, methods=[operation.method])

    async def describe(_request: Request) -> Response:
        return json_response(await run_in_threadpool(document))

    return [Route(f"{PREFIX}/openapi.json", describe, methods=["GET"]), *map(route, operations)]


class ApprovalBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of a version."""

    comment: str = ""
    withdraw: bool = False


class _Api:
    def __init__(self, project: Project) -> None:
        self._project = project

    def operations(self) -> tuple[Operation, ...]:
        """Every route of the API."""
        limit = ("limit", f"how many at most, up to {MAX_ITEMS}")
        return (
            Operation("/endpoints", self.endpoints, list[EndpointView]),
            Operation("/endpoints/{name}/revisions", self.revisions, list[Revision]),
            Operation(
                "/endpoints/{name}/windows",
                self.windows,
                list[WindowView],
                (
                    limit,
                    ("revision", "only windows of this revision"),
                    ("since_s", "only windows that start then or later, in seconds since 1970"),
                    ("before_s", "only windows that start before it"),
                ),
            ),
            Operation(
                "/events", self.events, list[Event], (limit, ("after", "only events with an id above this"))
            ),
            Operation("/lineage/{subject:path}", self.lineage, Explanation),
            Operation("/models", self.models, list[ModelView]),
            Operation("/models/{name}/versions", self.versions, list[ModelVersion], model=_named_model),
            Operation("/models/{name}/versions/{number}", self.version, VersionView, model=_named_model),
            Telling(
                "/models/{name}/versions/{number}/approvals",
                self.approve,
                list[Approval],
                method="POST",
                takes=ApprovalBody,
            ),
            Operation("/references/{reference:path}", self.reference, ModelVersion, model=_referred_model),
            Operation("/verdicts/{id}", self.verdict, Verdict),
            Operation("/runs", self.runs, list[Run], (limit, ("experiment", "only this experiment"))),
            Operation("/runs/{id}", self.run, Run),
        )

    def approve(self, request: Request, body: bytes) -> Any:
        """Approve a version in the caller's name, or take that back; what everybody said of it last."""
        try:
            asked = msgspec.json.decode(body or b"{}", type=ApprovalBody)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"the body is no approval: {error}", code="http.bad_body") from None
        caller = caller_of(request.scope)
        found = named_version(self._project, request.path_params["name"], request.path_params["number"])
        with self._project.database.read() as connection:
            caller.require(connection, "model", found.version.model, "writer")
        standing = decide_approval(
            self._project, found.version, caller.actor, asked.comment, withdraw=asked.withdraw
        )
        return list(standing.approvals)

    def endpoints(self, _request: Request) -> Any:
        """Every endpoint with its health, recent traffic and findings."""
        return overview(self._project)

    def revisions(self, request: Request) -> Any:
        """An endpoint's revisions, newest first."""
        name = request.path_params["name"]
        with self._project.database.read() as connection:
            get_revision(connection, name)
            return list_revisions(connection, name)

    def windows(self, request: Request) -> Any:
        """An endpoint's newest windows, oldest first; one start may have several routes."""
        revision, before_s = (_number(request, name, -1) for name in ("revision", "before_s"))
        return view_windows(
            self._project,
            request.path_params["name"],
            revision=None if revision < 0 else revision,
            limit=_limit(request),
            since_s=_number(request, "since_s", 0),
            before_s=None if before_s < 0 else before_s,
        )

    def events(self, request: Request) -> Any:
        """Events after an id, oldest first."""
        after_id, limit = _number(request, "after", 0), _limit(request)
        with self._project.database.read() as connection:
            return list_events(connection, after_id=after_id, limit=limit)

    def lineage(self, request: Request) -> Any:
        """The chain of whatever `penstock why` explains."""
        return explain_subject(self._project, request.path_params["subject"])

    def models(self, _request: Request) -> Any:
        """Every registered model."""
        return view_models(self._project)

    def versions(self, request: Request) -> Any:
        """A model's versions, newest first."""
        name = request.path_params["name"]
        with self._project.database.read() as connection:
            found = list_versions(connection, name)
        if not found:
            raise no_model(name)
        return found

    def version(self, request: Request) -> Any:
        """A model version with its aliases and the newest verdict on it."""
        return named_version(self._project, request.path_params["name"], request.path_params["number"])

    def reference(self, request: Request) -> Any:
        """The model version that NAME/3, NAME@alias or NAME@alias@TIME (what it was then) means."""
        with self._project.database.read() as connection:
            return resolve_version(connection, request.path_params["reference"])

    def verdict(self, request: Request) -> Any:
        """A verdict by its id."""
        with self._project.database.read() as connection:
            return get_verdict(connection, request.path_params["id"])

    def runs(self, request: Request) -> Any:
        """The newest runs, newest first."""
        experiment = request.query_params.get("experiment")
        with self._project.database.read() as connection:
            return tracking.list_runs(connection, experiment=experiment, limit=_limit(request))

    def run(self, request: Request) -> Any:
        """A run by its id or an unambiguous beginning of it."""
        with self._project.database.read() as connection:
            return tracking.get_run(connection, request.path_params["id"])


def _check_caller(project: Project, operation: Operation, request: Request) -> None:
    caller = caller_of(request.scope)
    if caller.user is None:
        return
    with project.database.read() as connection:
        if operation.model is None:
            caller.require_everything(connection)
        else:
            caller.require(connection, "model", operation.model(request), "reader")


def _named_model(request: Request) -> str:
    return str(request.path_params["name"])


def _referred_model(request: Request) -> str:
    return re.split("[/@]", str(request.path_params["reference"]), maxsplit=1)[0]


def _limit(request: Request) -> int:
    return min(_number(request, "limit", 100), MAX_ITEMS)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise Invalid(f"`{name}` must be a whole number, not {text!r}", code="http.bad_parameter", field=name)
    return int(text)
