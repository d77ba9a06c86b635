"""Work that a process does again and again in a thread of its own, until it is stopped.

Not for one piece of work, or many at once; that is `penstock.base.threads`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from penstock.base.errors import PenstockError

logger = logging.getLogger(__name__)
AGAIN_S = 600.0
"""How long a failure that stays the same is not said again."""


class Trouble:
    """Says what fails again and again: once, then seldom, and when it is over. One thread at a time calls it.

    Args:
        failing: what is said before the failure's own words, as in "webhooks wait".
        over: what is said when it is over.
    """

    def __init__(self, failing: str, *, over: str = "no longer") -> None:
        self._failing, self._over = failing, over
        self._said_s = 0.0
        self.problem: str | None = None
        """What failed last, or None."""

    def tell(self, error: Exception) -> None:
        """Take a failure."""
        problem = error.message if isinstance(error, PenstockError) else f"{type(error).__name__}: {error}"
        if problem != self.problem or time.monotonic() - self._said_s >= AGAIN_S:
            self._said_s = time.monotonic()
            if isinstance(error, PenstockError):
                logger.warning("%s: %s", self._failing, problem)
            else:
                logger.error(self._failing, exc_info=error)
        self.problem = problem

    def end(self) -> None:
        """Take that it went well."""
        if self.problem is not None:
            logger.info("%s: %s", self._failing, self._over)
        self.problem = None


class Background:
    """Calls `turn` every `every_s` seconds in a thread, from `start` until `stop`.

    A turn that fails is told and the next one tried: a watch outlives a store that is away and a defect in one
    look. The same failure is told as `Trouble` does.

    Args:
        name: the thread's name.
        turn: what is done; it may ask `is_stopping` where it takes long.
        every_s: the pause before each turn.
        failing: what is said before the failure's own words, as in "webhooks wait".
        at_once: make the first turn without a pause.
    """

    def __init__(
        self, name: str, turn: Callable[[], None], every_s: float, *, failing: str, at_once: bool = False
    ) -> None:
        self._turn, self._every_s, self._at_once = turn, every_s, at_once
        self._trouble = Trouble(failing)
        self._wake = threading.Event()
        self._turning = threading.RLock()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def problem(self) -> str | None:
        """What the last turn failed of, or None."""
        return self._trouble.problem

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._is_stopping

    def start(self) -> None:
        """Begin. Once only."""
        self._thread.start()

    def wake(self) -> None:
        """Make the next turn now."""
        self._wake.set()

    def stop(self, timeout_s: float | None = None) -> None:
        """Finish the turn under way and end the thread; it may never have been started, or be this one.

        Args:
            timeout_s: so long a turn is waited for; then it is left to end by itself, or with the process.
        """
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def pause(self, timeout_s: float) -> bool:
        """Let no turn begin until `resume`; False where one is under way that does not end in time.

        A thread in the middle of a turn may hold a lock, of an import for one, that a forked child never gets back.
        Whoever pauses within a turn of its own does not wait.
        """
        return self._turning.acquire(timeout=max(timeout_s, 0.0))

    def resume(self) -> None:
        """Go on after `pause`, in the thread that called it."""
        self._turning.release()

    def _run(self) -> None:
        if self._at_once:
            self._attempt()
        while not self._is_stopping:
            self._wake.wait(self._every_s)
            if self._is_stopping:
                return
            self._wake.clear()
            self._attempt()

    def _attempt(self) -> None:
        with self._turning:
            self._take_turn()

    def _take_turn(self) -> None:
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001  (whatever it is, the next turn is made)
            self._trouble.tell(error)
        else:
            self._trouble.end()
