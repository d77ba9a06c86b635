"""Threads for calls that wait: for a server, for a disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

from penstock.base.errors import PenstockError

T = TypeVar("T")
LEAVE_S = 5.0
"""Whoever leaves what is read ahead waits no longer for what is under way, such as a download."""
WORK_S, REST_S = 0.0005, 0.001
"""How long a thread behind others works before it rests, and for how long it does."""
HEAR_S = 0.2
"""So long the main thread waits for others at a time: a signal that comes as it begins to wait is heard when it has waited."""
RESTS_MAX = 300
"""So often it rests: who has more to do must not fall behind for good."""
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


def wait_for_one(pending: Iterable[Future[T]]) -> tuple[set[Future[T]], set[Future[T]]]:
    """Wait until something has ended and return what has and what has not, and hear signals meanwhile."""
    while True:
        done, left = futures.wait(pending, timeout=HEAR_S, return_when=futures.FIRST_COMPLETED)
        if done or not left:
            return done, left


def take_next(queue: SimpleQueue[T]) -> T:
    """Wait for the next item of a queue, and hear signals meanwhile."""
    while True:
        with suppress(Empty):
            return queue.get(timeout=HEAR_S)


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


class LeasedLock:
    """A lock for what one thread does at a time, which no thread keeps from others for longer than a lease.

    A thread that holds it takes it again at once. One that holds it for longer than `lease_s` while others wait loses it
    to one of them and is not stopped: they go on beside it. Thread-safe; who comes next is in no order.
    """

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._changed = threading.Condition()
        self._holder: object | None = None
        self._thread, self._until_s = 0, 0.0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock, hold it meanwhile and give it back, unless it was lost."""
        mine = self._take()
        try:
            yield
        finally:
            if mine is not None:
                with self._changed:
                    if self._holder is mine:
                        self._release()

    def take_from(self, thread: int) -> None:
        """Let the next one go on beside a thread (`threading.get_ident`) that holds it."""
        with self._changed:
            if self._holder is not None and self._thread == thread:
                self._release()

    def _take(self) -> object | None:
        """Return what shows that this thread took the lock; None where it holds it already."""
        mine, thread = object(), threading.get_ident()
        with self._changed:
            while self._holder is not None and (left_s := self._until_s - time.monotonic()) > 0:
                if self._thread == thread:
                    return None
                self._changed.wait(left_s)
            self._holder, self._thread, self._until_s = mine, thread, time.monotonic() + self.lease_s
        return mine

    def _release(self) -> None:
        self._holder = None
        self._changed.notify_all()


@contextmanager
def behind_others() -> Iterator[None]:
    """Let this thread work behind others meanwhile: it rests wherever `give_way` is called and it worked for a while.

    A thread that computes keeps the interpreter for 5 ms at a time from one that answers requests.
    """
    _behind.until_s, _behind.rests = time.thread_time() + WORK_S, RESTS_MAX
    try:
        yield
    finally:
        _behind.until_s = None


def give_way() -> None:
    """Let other threads run where this one works behind them (`behind_others`); elsewhere do nothing."""
    until_s = getattr(_behind, "until_s", None)
    if until_s is None or time.thread_time() < until_s:
        return
    time.sleep(REST_S)
    _behind.rests -= 1
    _behind.until_s = time.thread_time() + WORK_S if _behind.rests else None
