"""A signal that ends the process ends its runs first.

A handler runs in the main thread, between any two steps of what is done there: the lock of a run may be held, a batch
half filled. So a thread of its own ends the runs. The main thread waits for it where it is outside of the client;
inside it goes on, lets go of what it holds, and stands still at the end of its call or at its next record.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from penstock.base.threads import HEAR_S, begin

NUMBERS = (signal.SIGTERM, signal.SIGHUP)
ENDING_S = 90.0
"""So long the end is waited for at most: longer than a server that hangs, after which the journal takes the records."""
_CLIENT = "penstock.client."


class _Ending:
    """Ends the runs in a thread of its own, then the process, as the signal would have."""

    def __init__(self, number: int, end_runs: Callable[[], None]) -> None:
        self._number, self._end_runs = number, end_runs
        self._thread, self._done = 0, threading.Event()
        self.is_over = False

    def begin(self) -> None:
        """Begin; once only."""
        begin("penstock-end", self._end)

    def wait(self) -> None:
        """Wait until the process ends; the thread that ends it does not."""
        deadline_s = time.monotonic() + ENDING_S
        while self._thread != threading.get_ident() and time.monotonic() < deadline_s:
            if self._done.wait(HEAR_S):
                return

    def _end(self) -> None:
        self._thread = threading.get_ident()
        try:
            self._end_runs()
        finally:
            self.is_over = True
            # the handler again, since only the main thread can take it away
            os.kill(os.getpid(), self._number)
            self._done.set()


_ending: _Ending | None = None


def watch_signals(end_runs: Callable[[], None]) -> None:
    """Have the signals that end a process end its runs, unless somebody else handles them.

    Args:
        end_runs: ends them as killed, in another thread than the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def ended(number: int, frame: FrameType | None) -> None:
        global _ending  # noqa: PLW0603 - a process ends once
        if _ending is None:
            _ending = _Ending(number, end_runs)
            _ending.begin()
        if not _is_inside(frame):
            _ending.wait()
        elif not _ending.is_over:
            return
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    for number in NUMBERS:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, ended)


def stand_still() -> None:
    """Wait for the end of the process where a signal ends it; return at once in any other."""
    if _ending is not None:
        _ending.wait()


def forget_signals() -> None:
    """Go on in a forked child, where no thread of the parent is."""
    global _ending  # noqa: PLW0603 - as above
    _ending = None


def _is_inside(frame: FrameType | None) -> bool:
    """Say whether the main thread was in the middle of a call of the client."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(_CLIENT):
            return True
        frame = frame.f_back
    return False
