"""One table of endpoints, and the application that answers from it.

An endpoint names its method, its path, the type of its request, what its caller must be allowed to do, and
its work. What is not in the table does not exist; so nothing can be reached that names no permission.
Reading work runs in a thread on a connection that sees one state; writing work goes through the group
writer; a `calls` endpoint gets the project and manages its own transactions, for work over several parts; a
`serves` endpoint is a coroutine that reads the body or streams the answer itself, by its query's fields.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.access.roles import Kind, Role
from penstock.base.errors import Invalid, PenstockError
from penstock.base.store.database import Database
from penstock.http.caller import Caller, caller_of
from penstock.http.errors import json_response
from penstock.http.mlflow.absent import no_endpoint
from penstock.http.mlflow.errors import mlflow_error_response
from penstock.http.mlflow.files.transfer import ArtifactService
from penstock.http.mlflow.wire import MAX_BODY_BYTES, Request, decode_body, decode_query
from penstock.project.project import Project

MAX_READERS = 8
T = TypeVar("T")
Mode = Literal["reads", "writes", "calls", "serves"]
Also = tuple[Kind, str, Role]
"""A further resource that a request touches, and the role that it needs there."""


@dataclass(frozen=True)
class Need:
    """What a caller must be allowed: a role on resources of one kind.

    `of` names the resources that a request concerns, `also` those it touches beside them. An endpoint that
    lists answers what the caller may see and needs nothing else (`of` None, kind other than `server`).
    """

    kind: Kind | Literal["server"]
    role: Role
    of: Callable[[sa.Connection, Any], Iterable[str]] | None = None
    also: Callable[[sa.Connection, Any], Iterable[Also]] | None = None

    def check(self, connection: sa.Connection, caller: Caller, request: Any) -> None:
        """Check a caller.

        Raises:
            Denied: it may not.
            NotFound: what the request concerns does not exist.
        """
        if caller.user is None:
            return
        if self.kind == "server":
            caller.require_server(self.role)
        elif self.of is not None:
            for resource in self.of(connection, request):
                caller.require(connection, self.kind, resource, self.role)
        if self.also is not None:
            for kind, resource, role in self.also(connection, request):
                caller.require(connection, kind, resource, role)


@dataclass(frozen=True)
class Endpoint:
    """One row of the table; `path` may hold `{name}` parts, which become fields of the request; `{name:path}` has slashes too."""

    method: str
    path: str
    request: type[Request]
    need: Need
    mode: Mode
    work: Callable[..., Any]
    max_body_bytes: int = MAX_BODY_BYTES


@dataclass(frozen=True)
class Services:
    """What endpoints work on."""

    project: Project
    artifacts: ArtifactService

    @property
    def database(self) -> Database:
        """The store."""
        return self.project.database

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Do reading work in a thread."""

        def read() -> T:
            with self.database.read() as connection:
                return work(connection)

        return await run_in_threadpool(read)


class MlflowApi:
    """The ASGI application of one table of endpoints, mounted under a prefix."""

    def __init__(self, endpoints: Iterable[Endpoint], services: Services) -> None:
        self._services = services
        # half the cost of Starlette's pool, which copies the context and counts against a limit of its own
        self._readers = ThreadPoolExecutor(MAX_READERS, thread_name_prefix="penstock-read")
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Endpoint]] = []
        for endpoint in endpoints:
            if "{" in endpoint.path:
                pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", endpoint.path)
                pattern = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", pattern)
                self._patterns.append((endpoint.method, re.compile(pattern + r"\Z"), endpoint))
            else:
                self._exact[endpoint.method, endpoint.path] = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self._answer(HttpRequest(scope, receive))
        except PenstockError as error:
            response = mlflow_error_response(error)
        await response(scope, receive, send)

    async def _answer(self, http: HttpRequest) -> Response:
        scope = http.scope
        path = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
        endpoint, parts = self._find(scope["method"], path)
        caller = caller_of(scope)
        if endpoint.mode == "serves":
            asked = decode_query(http.query_params.multi_items(), endpoint.request, parts)
            if caller.user is not None:
                await self._services.read(lambda connection: endpoint.need.check(connection, caller, asked))
            answer: Response = await endpoint.work(self._services, http, asked, caller)
            return answer
        request = await _decode(http, endpoint, parts)
        value = await self._work(endpoint, request, caller)
        return value if isinstance(value, Response) else _json(value)

    def _find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        found = self._exact.get((method, path))
        if found is not None:
            return found, {}
        for known, pattern, endpoint in self._patterns:
            match = pattern.match(path) if known == method else None
            if match is not None:
                return endpoint, match.groupdict()
        raise no_endpoint(method, path)

    async def _work(self, endpoint: Endpoint, request: Any, caller: Caller) -> Any:
        services, work, need = self._services, endpoint.work, endpoint.need

        def read() -> Any:
            with services.database.read() as connection:
                need.check(connection, caller, request)
                return work(connection, request, caller)

        def write(connection: sa.Connection) -> Any:
            need.check(connection, caller, request)
            return work(connection, request, caller)

        def call() -> Any:
            if caller.user is not None:
                with services.database.read() as connection:
                    need.check(connection, caller, request)
            return work(services.project, request, caller)

        if endpoint.mode == "writes":
            return await asyncio.wrap_future(services.project.writer.submit(write))
        if endpoint.mode == "reads":
            return await asyncio.get_running_loop().run_in_executor(self._readers, read)
        return await run_in_threadpool(call)


def _json(value: Any) -> Response:
    if isinstance(value, bytes | msgspec.Raw):
        return Response(bytes(value), media_type="application/json")
    return json_response(value or {})


async def _decode(http: HttpRequest, endpoint: Endpoint, path_fields: dict[str, str]) -> Any:
    if http.method == "GET":
        return decode_query(http.query_params.multi_items(), endpoint.request, path_fields)
    body = await read_body(http, endpoint.max_body_bytes)
    if body or http.method != "DELETE":
        _check_content_type(http.headers)
    return decode_body(body, endpoint.request, path_fields)


async def read_body(http: HttpRequest, limit: int) -> bytes:
    """Return the request's body.

    Raises:
        Invalid: it is longer than `limit` (`http.body_too_large`).
    """
    chunks, size = [], 0
    async for chunk in http.stream():
        size += len(chunk)
        if size > limit:
            raise Invalid(
                f"the body is longer than {limit} bytes", code="http.body_too_large", hint="send less at once"
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _check_content_type(headers: Headers) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Invalid(
            "Bad Request. Content-Type header must be one of ['application/json'].", code="http.content_type"
        )
