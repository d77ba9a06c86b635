"""Notice that a client has left before it was answered, so that nobody works for it."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Receive

PATIENCE_S = 0.05
"""A request answered sooner is not watched: watching costs more than the work it could save."""


class Caller:
    """Whoever waits for the answer of a task. When it leaves, the task is cancelled.

    Args:
        receive: ASGI's, after the whole body was read from it.
    """

    __slots__ = ("_receive", "_task", "_watch", "has_left", "since_s")

    def __init__(self, receive: Receive, task: asyncio.Task[object] | None, since_s: float) -> None:
        self.has_left = False
        self.since_s = since_s
        self._receive = receive
        self._task = task
        self._watch: asyncio.Task[None] | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel the task when the client leaves."""
        self._watch = loop.create_task(self._wait())

    def forget(self) -> None:
        """Stop watching. It is answered, or has left."""
        if self._watch is not None:
            self._watch.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        if self._task is not None:
            self._task.cancel()


class Callers:
    """All who wait for answers on one loop, in the order they came; who waits for long is watched.

    One timer for all: a timer a request costs more than looking through those that wait.
    """

    def __init__(self) -> None:
        self._waiting: dict[Caller, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def await_answer(self, receive: Receive) -> Caller:
        """Return the caller of the current task, who waits from now on."""
        caller = Caller(receive, asyncio.current_task(), time.monotonic())
        self._waiting[caller] = None
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(PATIENCE_S, self._look, loop)
        return caller

    def forget(self, caller: Caller) -> None:
        """Note that a caller was answered, or has left."""
        self._waiting.pop(caller, None)
        caller.forget()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch those who have waited for long, and look again when the next of the others has."""
        if self._loop is not loop:
            return
        now_s = time.monotonic()
        for caller in list(self._waiting):
            left_s = caller.since_s + PATIENCE_S - now_s
            if left_s > 0:
                loop.call_later(left_s, self._look, loop)
                return
            del self._waiting[caller]
            caller.watch(loop)
        self._loop = None
