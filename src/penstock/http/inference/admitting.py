"""Ask every request to a serve process for credentials, before anything is looked up; probes are answered to all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.access.scopes import Scope as AccessScope
from penstock.base.errors import PenstockError
from penstock.http.errors import answer_defect, error_response

PUBLIC = frozenset({"/health", "/ping", "/version", "/v2", "/v2/", "/v2/health/live", "/v2/health/ready"})
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="penstock"'}
ENDPOINT_HEADER = "penstock-endpoint"
"""Names the endpoint that `/invocations` asks."""
_KEY, _HIDDEN = "penstock.sender", "penstock.hidden"
_LAST: Mapping[str, AccessScope] = {
    "feedback": "feedback",
    "stats": "metrics",
    "load": "load",
    "unload": "load",
}


class Admits(Protocol):
    """Who decides; see `access/admission`."""

    def recall(self, authorization: str, scope: AccessScope, endpoint: str | None) -> str | None:
        """Return who was allowed this just now, without blocking; raises Unavailable as `admit`."""

    def give_back(self, authorization: str, scope: AccessScope, endpoint: str | None) -> None:
        """Take back that a request was counted by `recall`: it is asked about once more."""

    def admit(self, authorization: str, scope: AccessScope, endpoint: str | None) -> str:
        """Return the name of the user whose credentials allow this.

        Raises:
            Denied: they do not.
            Unavailable: more requests came with them than may.
        """

    def hidden(self, authorization: str, endpoints: Iterable[str]) -> frozenset[str]:
        """Return the endpoints that who was admitted to the process as a whole may not see."""


class Admit:
    """Let through what the credentials allow.

    Args:
        default_endpoint: the endpoint that `/invocations` asks under these headers, None where it is not known.
    """

    def __init__(
        self, app: ASGIApp, admission: Admits, default_endpoint: Callable[[Headers], str | None]
    ) -> None:
        self._app = app
        self._admission = admission
        self._default_endpoint = default_endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 403, or pass on and note who sends."""
        path = str(scope.get("path", ""))
        if scope["type"] == "http" and path not in PUBLIC:
            headers = Headers(scope=scope)
            wanted, endpoint = needed(path)
            if path == "/invocations":
                endpoint = self._default_endpoint(headers)
            given = headers.get("authorization", "")
            try:
                sender = self._admission.recall(given, wanted, endpoint)
                if sender is None:
                    sender = await run_in_threadpool(self._admission.admit, given, wanted, endpoint)
            except PenstockError as error:
                if path == "/invocations" and endpoint is None and error.code == "access.denied":
                    error.hint = f"name the endpoint with the header {ENDPOINT_HEADER}"
                answer = error_response(error)
                if error.code.startswith("auth."):
                    answer.headers.update(CHALLENGE)
                await answer(scope, receive, send)
                return
            except Exception as error:  # noqa: BLE001 - no wrapper around this one tells of defects
                await (await answer_defect(Request(scope), error))(scope, receive, send)
                return
            scope[_KEY] = sender
            scope[_HIDDEN] = partial(self._admission.hidden, given)
        await self._app(scope, receive, send)


def needed(path: str) -> tuple[AccessScope, str | None]:
    """Return the scope that a path needs, and the endpoint it concerns; what is not known needs `infer`.

    Example:
        >>> needed("/v2/models/delay/feedback"), needed("/v2/repository/models/delay/load"), needed("/metrics")
        (('feedback', 'delay'), ('load', 'delay'), ('metrics', None))
    """
    parts = path.split("/")[1:]
    if parts[:2] == ["v2", "models"] and len(parts) > 3:
        return _LAST.get(parts[-1], "infer"), parts[2]
    if parts[:2] == ["v2", "models"] and len(parts) == 3 and parts[2] != "stats":
        return "infer", parts[2]
    if parts[:3] == ["v2", "repository", "models"] and len(parts) > 4:
        return "load", parts[3]
    return ("metrics" if parts[-1] in {"metrics", "stats"} else "infer"), None


async def hidden_from(scope: Scope, endpoints: Iterable[str]) -> frozenset[str]:
    """Return the endpoints that who sends a request may not see; none where nobody is asked for credentials."""
    hidden: Callable[[Iterable[str]], frozenset[str]] | None = scope.get(_HIDDEN)
    return frozenset() if hidden is None else await run_in_threadpool(hidden, endpoints)


def sender_of(scope: Scope) -> str | None:
    """Return who sends a request: the user, else the address it comes from."""
    name = scope.get(_KEY)
    if isinstance(name, str):
        return name
    client = scope.get("client")
    return str(client[0]) if client else None
