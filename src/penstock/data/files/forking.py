"""Spread many small file operations over the processor's cores by forking.

Threads do not help there: each operation is a few system calls under one interpreter lock (measured: two
threads 1.0 times, two processes 1.7 times as fast as one, on 20,000 files of 4 KB). A child dies with its
parent, holds no lock and no database, and sends back only its results.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from penstock.base.errors import PenstockError, Unavailable

T = TypeVar("T")
R = TypeVar("R")
MIN_ITEMS = 512  # below this, forking (3 ms) costs more than it saves
MAX_WORKERS = 8
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def map_forked(items: Sequence[T], work: Callable[[Sequence[T]], list[R]]) -> list[R]:
    """Return `work`'s results for all items, in order; `work` gets slices of them, in several processes.

    With few items, one processor or other threads running, it is called once, here.

    Raises:
        PenstockError: what `work` raised, in this or another process; the other slices still ended.
        Unavailable: a process died.
    """
    count = min(len(os.sched_getaffinity(0)), MAX_WORKERS)
    if len(items) < MIN_ITEMS or count < 2 or threading.active_count() > 1:
        return work(items)
    step = -(-len(items) // count)
    slices = [items[at : at + step] for at in range(0, len(items), step)]
    children = [_fork(work, part) for part in slices[1:]]
    results: list[R] = []
    error: BaseException | None = None
    try:
        results += work(slices[0])
    except BaseException as raised:  # noqa: BLE001  the children are waited for first
        error = raised
    for pid, descriptor in children:
        if error is not None and not isinstance(error, PenstockError):
            import signal

            os.kill(pid, signal.SIGKILL)
        try:
            results += _collect(pid, descriptor)
        except PenstockError as raised:
            error = error or raised
    if error is not None:
        raise error
    return results


def _fork(work: Callable[[Sequence[T]], list[R]], part: Sequence[T]) -> tuple[int, int]:
    import ctypes  # 2 ms, needed only here
    import pickle  # 3 ms
    import signal

    parent = os.getpid()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            os.close(reading)
            try:
                outcome: object = work(part)
            except PenstockError as error:
                outcome = Failure(error)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(outcome, pipe, pickle.HIGHEST_PROTOCOL)
            code = 0
    finally:
        os._exit(code)


class Failure:
    """A `PenstockError` on its way through a pipe."""

    def __init__(self, error: PenstockError) -> None:
        self.kind, self.message = type(error), error.message
        self.code, self.hint, self.fields = error.code, error.hint, error.fields

    def to_error(self) -> PenstockError:
        """Return the error again."""
        return self.kind(self.message, code=self.code, hint=self.hint, **self.fields)


def _collect(pid: int, descriptor: int) -> list[Any]:
    import pickle

    with os.fdopen(descriptor, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    try:
        outcome = pickle.loads(data)
    except (EOFError, pickle.UnpicklingError):
        raise Unavailable(
            "a worker process died before it was done",
            code="data.worker_died",
            hint="run the same command again",
        ) from None
    if isinstance(outcome, Failure):
        raise outcome.to_error()
    return list(outcome)
