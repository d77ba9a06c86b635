"""Functions as they were, watched: plain, async, generators and async generators."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from penstock.watching.calls import Mark
from penstock.watching.keeping import Kept
from penstock.watching.recording import Recording

Function = Callable[..., Any]
ITEMS_MAX = 1_000
"""Items of a stream that are kept."""


def wrap(recording: Recording, function: Function) -> Function:
    """Return a function that does the same and is recorded."""
    if inspect.isasyncgenfunction(function):
        made = _async_stream(recording, function)
    elif inspect.iscoroutinefunction(function):
        made = _coroutine(recording, function)
    elif inspect.isgeneratorfunction(function):
        made = _stream(recording, function)
    else:
        made = _plain(recording, function)
    return functools.wraps(function)(made)


def _plain(recording: Recording, function: Function) -> Function:
    ask, clock = recording.asks(function), time.perf_counter

    def call(*args: Any, **kwargs: Any) -> Any:
        mark, asked = recording.begin(), ask(args, kwargs)
        began = clock()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            recording.fail(mark, clock() - began, asked, error)
            raise
        recording.answer(mark, clock() - began, asked, result)
        return result

    return call


def _coroutine(recording: Recording, function: Function) -> Function:
    ask, clock = recording.asks(function), time.perf_counter

    async def call(*args: Any, **kwargs: Any) -> Any:
        mark, asked = recording.begin(), ask(args, kwargs)
        began = clock()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            recording.fail(mark, clock() - began, asked, error)
            raise
        recording.answer(mark, clock() - began, asked, result)
        return result

    return call


class _Flow:
    """A stream under way: what it gave, and the time spent in it rather than in who reads it."""

    def __init__(self, recording: Recording, mark: Mark, asked: Kept) -> None:
        self._recording, self._mark, self._asked = recording, mark, asked
        self._items: list[Any] = []
        self._latency_s = self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._latency_s += time.perf_counter() - self._began

    def keep(self, item: Any) -> None:
        """Keep an item, as it is when it is given."""
        if len(self._items) < ITEMS_MAX:
            self._items.append(self._recording.keep("an item", item)[0])

    def end(self, error: BaseException | None) -> None:
        """Record the stream; one that its reader left, or whose task was cancelled, has answered what it gave."""
        was_left = error is not None and not isinstance(error, Exception)
        if error is not None and not (was_left and self._items):
            self._recording.fail(self._mark, self._latency_s, self._asked, error)
            return
        items: Any = self._items
        if items and all(isinstance(one, str) for one in items):
            items = "".join(items)
        self._recording.answer(self._mark, self._latency_s, self._asked, items)


def _stream(recording: Recording, function: Function) -> Function:
    ask = recording.asks(function)

    def stream(*args: Any, **kwargs: Any) -> Any:
        flow = _Flow(recording, recording.begin(), ask(args, kwargs))
        source = function(*args, **kwargs)
        try:
            with flow:
                item = next(source)
            while True:
                flow.keep(item)
                try:
                    given = yield item
                except GeneratorExit:
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is the function's, as without us
                    with flow:
                        item = source.throw(thrown)
                else:
                    with flow:
                        item = source.send(given)
        except StopIteration as end:
            flow.end(None)
            return end.value
        except BaseException as error:
            try:
                source.close()
            finally:
                flow.end(error)
            raise

    return stream


def _async_stream(recording: Recording, function: Function) -> Function:
    ask = recording.asks(function)

    async def stream(*args: Any, **kwargs: Any) -> Any:
        flow = _Flow(recording, recording.begin(), ask(args, kwargs))
        source = function(*args, **kwargs)
        try:
            with flow:
                item = await anext(source)
            while True:
                flow.keep(item)
                try:
                    given = yield item
                except GeneratorExit:
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is the function's, as without us
                    with flow:
                        item = await source.athrow(thrown)
                else:
                    with flow:
                        item = await source.asend(given)
        except StopAsyncIteration:
            flow.end(None)
        except BaseException as error:
            try:
                await source.aclose()
            finally:
                flow.end(error)
            raise

    return stream
