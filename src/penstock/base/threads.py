"""Threads for calls that wait: for a server, for a disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from penstock.base.errors import PenstockError

T = TypeVar("T")


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
