"""Traces, which are not kept, and every other path below MLflow's prefixes that no endpoint has.

The client of a trace cannot be told once and for all, and would warn at every call of a traced function. It is
refused the first time, which it warns of, and from then on for an hour the trace is let go without a word.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from penstock.base.errors import Refused
from penstock.http.errors import json_response
from penstock.http.mlflow.absent import no_endpoint, not_kept
from penstock.http.mlflow.dispatch import read_body
from penstock.http.mlflow.errors import mlflow_error_response

SILENCE_S = 3600.0
MAX_TOLD = 4096
MAX_TRACE_BYTES = 8 << 20


class Absent:
    """Answers every path that no other route below an API's prefix has."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse one request."""
        path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
        await mlflow_error_response(no_endpoint(str(scope.get("method", "")), path))(scope, receive, send)


class Traces:
    """Takes traces, and keeps none: the first of a caller in an hour is refused, the others are let go."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def start(self, request: Request) -> Response:
        """Answer `StartTraceV3`, which a client sends when a traced call has ended."""
        body = await read_body(request, MAX_TRACE_BYTES)
        peer = request.client.host if request.client else ""
        if not self._was_told((peer, request.headers.get("user-agent", ""))):
            return mlflow_error_response(not_kept("traces"))
        try:
            trace: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])["trace"]
            info = dict(trace["trace_info"])
            # so the client does not send what the trace holds after it
            info["tags"] = {**dict(info.get("tags", {})), "mlflow.trace.spansLocation": "TRACKING_STORE"}
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            return mlflow_error_response(not_kept("traces"))
        return json_response({"trace": {"trace_info": info}})

    def _was_told(self, who: tuple[str, str]) -> bool:
        now = time.monotonic()
        before = self._told.pop(who, None)
        is_fresh = before is not None and now - before < SILENCE_S
        self._told[who] = before if before is not None and is_fresh else now
        if len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)
        return is_fresh

    async def spans(self, _request: Request) -> Response:
        """Answer the route of OpenTelemetry; the wording makes MLflow's client stop sending spans."""
        return mlflow_error_response(
            Refused(
                "REST OTLP span logging is not supported: Penstock keeps no traces",
                code="http.not_implemented",
            )
        )


def absent_routes() -> list[BaseRoute]:
    """Return the routes that answer what is not there; they come after all others of the MLflow surface."""
    traces = Traces()
    return [
        Route("/api/3.0/mlflow/traces", traces.start, methods=["POST"]),
        Route("/v1/traces", traces.spans, methods=["POST"]),
        Mount("/api/3.0/mlflow", app=Absent()),
        Mount("/ajax-api/3.0/mlflow", app=Absent()),
        Mount("/api/2.0", app=Absent()),
        Mount("/ajax-api", app=Absent()),
        Mount("/graphql", app=Absent()),
    ]
