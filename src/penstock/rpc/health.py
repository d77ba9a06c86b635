"""gRPC's standard health service: whether everything is served, asked once or watched.

The servicer of `grpcio-health-checking` forgets all watchers of a service when one of them leaves, and keeps a server that
ends waiting for those that stay.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

LOOK_S = 0.25
"""How often a watcher's state is looked at."""
_States = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers for the server as a whole (the empty name) and for `services`; a server that ends serves nothing.

    Only the loop's thread calls it.
    """

    def __init__(self, is_ready: Callable[[], bool], services: Collection[str]) -> None:
        self._is_ready = is_ready
        self._services = frozenset(("", *services))
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Say from now on that nothing is served, and let watchers go."""
        self._ending.set()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Answer once."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service[:128]!r}")
        return _States(status=self._state(request.service))

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802 - gRPC's name
        """Tell the state now and whenever it changes."""
        told = None
        while True:
            state = self._state(request.service)
            if state != told:
                await context.write(_States(status=state))
                told = state
            if self._ending.is_set():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), LOOK_S)

    def _state(self, service: str) -> Any:
        if service not in self._services:
            return _States.SERVICE_UNKNOWN
        return _States.SERVING if self._is_ready() and not self._ending.is_set() else _States.NOT_SERVING
