"""Notice that a client has left before it was answered, so that nobody works for it."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

PATIENCE_S = 0.05
"""A request answered sooner is not watched: watching costs more than the work it could save."""


class Caller:
    """Whoever waits for the answer of the task that makes this. When it leaves, the task is cancelled.

    Args:
        receive: ASGI's, after the whole body was read from it.
    """

    def __init__(self, receive: Receive) -> None:
        self.has_left = False
        self._receive = receive
        self._task = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._begin)

    def forget(self) -> None:
        """Stop watching. It is answered, or has left."""
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _begin(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        if self._task is not None:
            self._task.cancel()
