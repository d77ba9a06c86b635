"""Parts of a large object asked for before they are needed, over several connections at once.

One connection gives what its line gives, and while a part is hashed or written nothing would arrive. All readers of
a backend share `AHEAD_JOBS` requests, so the memory is bounded however many objects are read at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from penstock.base.process import keep_freed_memory

PART_BYTES = 4 << 20
AHEAD_JOBS = 8
PARTS_AHEAD = 4  # of one reader


def split_range(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each part of a range of bytes.

    Example:
        >>> list(split_range(1, PART_BYTES + 3)) == [(1, PART_BYTES + 1), (PART_BYTES + 1, PART_BYTES + 3)]
        True
    """
    for at in range(start, end, PART_BYTES):
        yield at, min(at + PART_BYTES, end)


class ReadAhead:
    """Reads parts in the background. Safe for many threads, each with its own `read`."""

    def __init__(self) -> None:
        keep_freed_memory(mapped_bytes=2 * PART_BYTES)
        self._pool = ThreadPoolExecutor(AHEAD_JOBS, "penstock-read")
        self._slots = threading.BoundedSemaphore(AHEAD_JOBS)

    def read(self, parts: Iterable[tuple[int, int]], get: Callable[[int, int], bytes]) -> Iterator[bytes]:
        """Yield what `get(start, end)` returns for each part, in order; raises what it raises."""
        left = iter(parts)
        waiting: deque[Future[bytes]] = deque()
        try:
            while True:
                self._ask(left, waiting, get)
                if waiting:
                    try:
                        data = waiting[0].result()
                    finally:
                        waiting.popleft()
                        self._slots.release()
                    self._ask(left, waiting, get)
                    yield data
                elif (part := next(left, None)) is not None:  # others have every slot
                    yield get(*part)
                else:
                    return
        finally:
            for future in waiting:
                if not future.cancel():
                    with suppress(Exception):
                        future.result()
                self._slots.release()

    def _ask(
        self,
        left: Iterator[tuple[int, int]],
        waiting: deque[Future[bytes]],
        get: Callable[[int, int], bytes],
    ) -> None:
        while len(waiting) < PARTS_AHEAD and self._slots.acquire(blocking=False):
            part = next(left, None)
            if part is None:
                self._slots.release()
                return
            waiting.append(self._pool.submit(get, *part))

    def close(self) -> None:
        """End the threads once they have what they wait for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
