"""What is counted of watched calls for Prometheus, by version; summed up in the background, not at the call."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from penstock.watching.calls import Call, Mark, Standing

DURATION_BUCKETS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0
)  # fmt: skip
OUTCOMES = ("ok", "invalid", "error")
"""What becomes of a watched call."""
FAILED = "model_failed"
Series = tuple[str, str, str]
"""Endpoint, version and route; the last two are empty while they are not known."""


@dataclass
class Durations:
    """A histogram: how many calls were in each bucket, the last being above all, and their seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(DURATION_BUCKETS_S) + 1))
    total_s: float = 0.0


class Counts:
    """Counts by endpoint and version. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[tuple[str, str]] = Counter()
        """By endpoint and outcome."""
        self.errors: Counter[tuple[str, str, str, str]] = Counter()
        """By endpoint, version, route and kind."""
        self.durations: dict[Series, Durations] = {}
        self.dropped: Counter[str] = Counter()
        self.hook_failures: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def add(
        self,
        endpoint: str,
        calls: Sequence[Call],
        missed: Sequence[tuple[Mark, str]],
        place: Callable[[Mark], Standing],
    ) -> None:
        """Count calls, and such as there was no room for.

        Args:
            place: returns where a call stands, as far as that is known by now.
        """
        with self._lock:
            for call in calls:
                series = _series(endpoint, place(call.mark))
                self.requests[endpoint, call.outcome] += 1
                if call.outcome == "ok":
                    durations = self.durations.get(series)
                    if durations is None:
                        durations = self.durations[series] = Durations()
                    durations.counts[bisect_left(DURATION_BUCKETS_S, call.latency_s)] += 1
                    durations.total_s += call.latency_s
                elif call.outcome == "error":
                    self.errors[(*series, FAILED)] += 1
            for mark, outcome in missed:
                self.requests[endpoint, outcome] += 1
                if outcome == "error":
                    self.errors[(*_series(endpoint, place(mark)), FAILED)] += 1
            if missed:
                self.dropped[endpoint] += len(missed)

    def prime(self, endpoint: str, standing: Standing) -> None:
        """Let the series of what is watched begin at 0: an increase counts nothing of what its first value was."""
        series = _series(endpoint, standing)
        with self._lock:
            for outcome in OUTCOMES:
                self.requests[endpoint, outcome] += 0
            if standing.endpoint_id:
                self.errors[(*series, FAILED)] += 0
                self.durations.setdefault(series, Durations())

    def copy(self) -> Counts:
        """Return the counts of this moment."""
        found = Counts()
        with self._lock:
            found.requests, found.errors = self.requests.copy(), self.errors.copy()
            found.dropped, found.refused = self.dropped.copy(), self.refused.copy()
            found.hook_failures = self.hook_failures.copy()
            found.durations = {
                series: Durations(list(one.counts), one.total_s) for series, one in self.durations.items()
            }
        return found

    def drop(self, endpoint: str, count: int) -> None:
        """Count calls that were left out later, because nothing took them."""
        with self._lock:
            self.dropped[endpoint] += count


def _series(endpoint: str, standing: Standing) -> Series:
    version = "" if standing.version is None else str(standing.version)
    return endpoint, version, standing.route if standing.endpoint_id else ""
