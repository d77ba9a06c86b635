"""What changes of an endpoint's versions cost its clients: latencies around each of them, beside those just before.

A swap is the second before and after a change was written, what it is compared with the second before that. A change
near which a process was killed says nothing of the swap and is left out of the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

AROUND_S = 1.0
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Span:
    """From when to when something went on, on the monotonic clock."""

    start_s: float
    end_s: float


class Latencies:
    """Answers by when they ended."""

    def __init__(self, ended_s: list[float], latency_s: list[float]) -> None:
        order = np.argsort(ended_s)
        self._ended_s = np.asarray(ended_s, dtype=np.float64)[order]
        self._latency_ms = np.asarray(latency_s, dtype=np.float64)[order] * 1000

    def within(self, start_s: float, end_s: float) -> Floats:
        """Return the latencies of a time, in milliseconds."""
        first, last = np.searchsorted(self._ended_s, [start_s, end_s])
        return self._latency_ms[first:last]

    def by_second(self, start_s: float, end_s: float) -> list[dict[str, Any]]:
        """Return each second's."""
        starts = np.arange(start_s, end_s, 1.0)
        return [describe(self.within(start, start + 1.0)) for start in starts]


def describe(latencies_ms: Floats) -> dict[str, Any]:
    """Return how many there are, and their quantiles, None where there are none."""
    found: dict[str, Any] = {"answers": len(latencies_ms)}
    for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1.0)):
        found[name] = round(float(np.quantile(latencies_ms, share)), 2) if len(latencies_ms) else None
    return found


def swaps(latencies: Latencies, changed_s: list[float], kills: list[Span]) -> dict[str, Any]:
    """Return what every change cost, and what they cost together."""
    each, around, before = [], [], []
    for at_s in changed_s:
        during = latencies.within(at_s - AROUND_S, at_s + AROUND_S)
        earlier = latencies.within(at_s - 2 * AROUND_S, at_s - AROUND_S)
        near = Span(at_s - 2 * AROUND_S, at_s + AROUND_S)
        is_disturbed = any(kill.start_s < near.end_s and near.start_s < kill.end_s for kill in kills)
        each.append({"before": describe(earlier), "swap": describe(during), "beside_a_kill": is_disturbed})
        if not is_disturbed:
            around.append(during)
            before.append(earlier)
    told = {"swaps": len(around), "before": describe(_all(before)), "swap": describe(_all(around))}
    if around:
        told["p99_times"] = round(told["swap"]["p99_ms"] / told["before"]["p99_ms"], 2)
    return {**told, "each": each}


def _all(parts: list[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.empty(0)
