"""A request's headers, read once for everybody who looks at them.

Starlette's `Headers` searches the list anew for each name and raises where there is none: 2 us a look, of which a
prediction has eight.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.serving.recorder import NOBODY, Caller, caller

_KEY = "penstock.headers"


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """Return the headers by name in lower case; of one that stands several times, the first."""
    found: Mapping[bytes, bytes] | None = scope.get(_KEY)
    if found is None:
        found = scope[_KEY] = dict(reversed([*scope["headers"]]))
    return found


def find_header(scope: Scope, name: bytes) -> str | None:
    """Return a header's text, None where there is none."""
    value = headers_of(scope).get(name)
    return None if value is None else value.decode("latin-1")


class CallersTrace:
    """An ASGI application that notes whose trace a request belongs to; only where predictions are traced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note it, and pass on."""
        if scope["type"] == "http":
            parent = find_header(scope, b"traceparent")
            caller.set(Caller(parent, find_header(scope, b"tracestate") or "") if parent else NOBODY)
        await self._app(scope, receive, send)
