"""Threads for calls that wait: for a server, for a disk."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from penstock.base.errors import PenstockError


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
