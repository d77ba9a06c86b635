"""What became of the deliveries of one outbox in this process, and since when the oldest waits there. It sends nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal, get_args

Outcome = Literal["taken", "failed", "given_up", "dropped"]
"""`failed` is tried again; `dropped` was never posted, since nobody is to be told of it any more."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LOOK_S = 5.0
"""So often the oldest that waits is looked for."""


class Deliveries:
    """Counts of one outbox. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[Outcome] = Counter()
        self._due_s = 0.0
        self.oldest_ms: int | None = None
        """When the oldest was written that waits, as it was last looked for; None where nothing waits."""

    def count(self, outcome: Outcome) -> None:
        """Count one attempt."""
        with self._lock:
            self._counts[outcome] += 1

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """How many there were, by outcome."""
        with self._lock:
            return {one: self._counts[one] for one in OUTCOMES}

    def look(self, find_oldest: Callable[[], int | None]) -> None:
        """Find the oldest that waits, unless it was looked for just now."""
        if time.monotonic() >= self._due_s:
            self.oldest_ms = find_oldest()
            self._due_s = time.monotonic() + LOOK_S
