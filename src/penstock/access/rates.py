"""How many requests each token, or user with a password, may send a second, over all processes on one port.

Source:
    Generic cell rate algorithm, ITU-T I.371, annex A, as virtual scheduling: of each caller one number is kept, the
    time at which the next request would come if it kept to its rate. A second's worth of requests may come at once.

Processes share a file of 1024 entries of `mark uint64, time float64`; a caller's entry is one of eight from where
its mark points, and a new caller takes the one that has been quiet for longest.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from penstock.base.errors import Unavailable

ENTRIES, PROBED = 1024, 8
_ENTRY = struct.Struct("<Qd")
FILE_NAME = "callers.rates"


class Rates:
    """See the module. Thread-safe; 3 us a request where processes share a folder.

    Args:
        per_s: requests a second of each caller, above 0.
        folder: where the processes on one port tell each other; None for a process alone.
        clock_s: a clock that never goes back and is the same in all processes.
    """

    def __init__(
        self, per_s: float, folder: str | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._interval_s = 1 / per_s
        self._ahead_s = max(0.0, 1 - self._interval_s) + 1e-9
        self._clock_s = clock_s
        self._lock = Lock()
        size = ENTRIES * _ENTRY.size
        self._file = -1
        if folder is not None:
            self._file = os.open(Path(folder) / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.truncate(self._file, size)
        self._memory = mmap.mmap(self._file, size)

    def take(self, caller: str) -> None:
        """Count a request of a caller.

        Raises:
            Unavailable: it is one too many (`serving.rate_exceeded`); it is not counted.
        """
        mark = _mark(caller)
        with self._locked():
            now_s = self._clock_s()
            at, next_s = self._find(mark)
            ahead_s = max(next_s, now_s) - now_s
            if ahead_s <= self._ahead_s:
                _ENTRY.pack_into(self._memory, at, mark, now_s + ahead_s + self._interval_s)
                return
        raise Unavailable(
            f"more than {self._per_s:g} requests a second came with these credentials",
            code="serving.rate_exceeded",
            hint="send fewer, put more rows into one request, or ask for a higher serve --rate",
            retry_after_s=max(1, math.ceil(ahead_s - self._ahead_s)),
        )

    def give_back(self, caller: str) -> None:
        """Take back one that was counted: the same request is asked about, and counted, once more."""
        mark = _mark(caller)
        with self._locked():
            at, next_s = self._find(mark)
            if next_s:
                _ENTRY.pack_into(self._memory, at, mark, next_s - self._interval_s)

    def _find(self, mark: int) -> tuple[int, float]:
        """Return where a caller's entry is, and what it says; 0 of a caller that is new."""
        quiet_at, quiet_s = 0, math.inf
        for step in range(PROBED):
            at = (mark + step) % ENTRIES * _ENTRY.size
            found, next_s = _ENTRY.unpack_from(self._memory, at)
            if found == mark:
                return at, next_s
            if next_s < quiet_s:
                quiet_at, quiet_s = at, next_s
        return quiet_at, 0.0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            if self._file < 0:
                yield
                return
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)


def _mark(caller: str) -> int:
    return int.from_bytes(hashlib.blake2b(caller.encode(), digest_size=8).digest(), "little") | 1
