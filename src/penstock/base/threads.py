"""Threads for calls that wait: for a server, for a disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar, cast

from penstock.base.errors import PenstockError

T = TypeVar("T")
LEAVE_S = 5.0
"""Whoever leaves what is read ahead waits no longer for what is under way, such as a download."""
WORK_S, REST_S = 0.0005, 0.001
"""How long a thread behind others works before it rests, and for how long it does."""
_behind = threading.local()


@contextmanager
def thread_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool; leaving waits for what is under way, and after an error drops what was not begun.

    Who interrupts (Ctrl-C) does not wait for a gigabyte that is under way or for a server that says nothing, so
    even a single call to a server is made in such a pool: the main thread hears the signal while it waits here.
    """
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=isinstance(error, PenstockError), cancel_futures=True)
        raise
    pool.shutdown()


def read_ahead(items: Generator[T, None, None], count: int) -> Generator[T, None, None]:
    """Yield the same items, `count` of which are made ahead in a thread of their own; what it raises comes in its turn.

    Close it where it is left before its end: then `items` is closed when what is under way is done.
    """
    end = object()
    with thread_pool(1) as pool:
        waiting: deque[Future[T | object]] = deque(pool.submit(next, items, end) for _ in range(count))
        try:
            while (found := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next, items, end))
                yield cast(T, found)
        finally:
            for one in waiting:
                one.cancel()
            futures.wait([pool.submit(items.close)], LEAVE_S)


def begin(name: str, work: Callable[[], T]) -> Future[T]:
    """Do `work` in a thread of its own, which no exit waits for; return its result or failure to come."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the result
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


@contextmanager
def behind_others() -> Iterator[None]:
    """Let this thread work behind others meanwhile: it rests wherever `give_way` is called and it worked for a while.

    A thread that computes keeps the interpreter for 5 ms at a time from one that answers requests.
    """
    _behind.until_s = time.thread_time() + WORK_S
    try:
        yield
    finally:
        _behind.until_s = None


def give_way() -> None:
    """Let other threads run where this one works behind them (`behind_others`); elsewhere do nothing."""
    until_s = getattr(_behind, "until_s", None)
    if until_s is not None and time.thread_time() >= until_s:
        time.sleep(REST_S)
        _behind.until_s = time.thread_time() + WORK_S
