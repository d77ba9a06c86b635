"""Whose turn it is to load a model: one after the other, but for those that take long.

Libraries that several threads import at once may end the process: a start with eighteen models of nine libraries was seen
to end with a segmentation fault. One after the other takes about as long, since Python runs one thread at a time. Whose turn it is to import modules of its own is in `loaders/import_turns.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TURN_S = 5.0
"""After so long the next begins beside it: a model that never ends to load must not keep others waiting for ever."""


class LoadTurns:
    """Lets one thread load at a time, and the next one too when that takes longer than `TURN_S`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holder: object | None = None
        self._since_s = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and have it meanwhile."""
        mine = object()
        with self._changed:
            while self._holder is not None and (left_s := self._since_s + TURN_S - time.monotonic()) > 0:
                self._changed.wait(left_s)
            self._holder, self._since_s = mine, time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                if self._holder is mine:
                    self._holder = None
                self._changed.notify_all()
