"""Latency histograms with fixed logarithmic buckets, so that any two of them merge exactly.

Slow requests come in bursts, so beside the counts stands in how many runs the requests came that are slower
than any of the bounds: a run begins where a request is slower than the bound and the one before it was not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.base.errors import Corrupt

GROWTH = 1.1
"""Width of a bucket: a quantile is at most 5 % off."""
FIRST_S = 1e-4
BUCKETS = 243
"""Upper bounds from 0.1 ms to 1,040,000 s, which is longer than any limit may be (`LATENCY_MAX_MS`); the last bucket holds
everything above. What was stored while the bounds ended at 110 s has all that was longer in the first bucket beyond that."""
BOUNDS_S: npt.NDArray[np.float64] = np.asarray(FIRST_S * GROWTH ** np.arange(BUCKETS), dtype=np.float64)


Counts = npt.NDArray[np.int64]


class LatencyHistogram:
    """Counts of durations; bucket i holds (bound i-1, bound i].

    `rises` has, for each step from a request to a slower one of the same sequence, one at the bucket after
    the first's and minus one after the second's: summed up to bucket i, the runs of requests in bucket i or
    above. None where nobody knew the order.
    """

    def __init__(self, counts: Counts | None = None, rises: Counts | None = None) -> None:
        self.counts = np.zeros(BUCKETS + 1, dtype=np.int64) if counts is None else counts
        self.rises = np.zeros(BUCKETS + 2, dtype=np.int64) if counts is None else rises

    @property
    def count(self) -> int:
        """How many durations were seen."""
        return int(self.counts.sum())

    def update(self, durations_s: Iterable[float]) -> None:
        """Add durations in seconds of requests in their order, the first of which begins anew."""
        values = np.fromiter(durations_s, dtype=np.float64)
        buckets = np.searchsorted(BOUNDS_S, values)
        self.counts += np.bincount(buckets, minlength=BUCKETS + 1)
        if self.rises is not None:
            before = np.concatenate([[-1], buckets[:-1]])[: len(buckets)]
            is_rise = buckets > before
            self.rises += np.bincount(before[is_rise] + 1, minlength=BUCKETS + 2)
            self.rises -= np.bincount(buckets[is_rise] + 1, minlength=BUCKETS + 2)

    def update_same(self, duration_s: float, count: int) -> None:
        """Add `count` requests that took as long, the first of which begins anew."""
        if not count:
            return
        bucket = int(np.searchsorted(BOUNDS_S, duration_s))
        self.counts[bucket] += count
        if self.rises is not None:
            self.rises[0] += 1
            self.rises[bucket + 1] -= 1

    def merge(self, other: LatencyHistogram) -> LatencyHistogram:
        """Return the histogram of both."""
        rises = None if self.rises is None or other.rises is None else self.rises + other.rises
        return LatencyHistogram(self.counts + other.counts, rises)

    def quantile_s(self, rank: float) -> float:
        """Return the duration in seconds that a share `rank` in [0, 1] does not exceed; NaN when empty."""
        if not self.count:
            return math.nan
        index = int(np.searchsorted(np.cumsum(self.counts), max(1.0, rank * self.count)))
        if index == 0:
            return FIRST_S
        if index >= BUCKETS:
            return float(BOUNDS_S[-1])
        return float(math.sqrt(BOUNDS_S[index - 1] * BOUNDS_S[index]))

    def count_above(self, limit_s: float) -> int:
        """Return how many durations surely exceeded a limit: those in buckets that begin at or above it."""
        return int(self.counts[_first_above(limit_s) :].sum())

    def runs_above(self, limit_s: float) -> int | None:
        """Return in how many runs the requests of `count_above` came; None where nobody knows."""
        return None if self.rises is None else int(self.rises[: _first_above(limit_s) + 1].sum())

    def to_bytes(self) -> bytes:
        """Serialise as MessagePack [[bucket, count, …], [bucket, rise, …]] of those in use.

        Where the order is not known it is the first list alone.
        """
        counts = _pairs(self.counts)
        return msgspec.msgpack.encode(counts if self.rises is None else [counts, _pairs(self.rises)])

    @staticmethod
    def from_bytes(data: bytes) -> LatencyHistogram:
        """Read what `to_bytes` wrote.

        Raises:
            Corrupt: the bytes are something else.
        """
        result = LatencyHistogram()
        try:
            parts = msgspec.msgpack.decode(data, type=list[int | list[int]])
            is_ordered = len(parts) == 2 and all(isinstance(one, list) for one in parts)
            pairs, rises = msgspec.convert(parts if is_ordered else [parts, []], tuple[list[int], list[int]])
            result.counts[pairs[::2]] = pairs[1::2]
            if is_ordered and result.rises is not None:
                result.rises[rises[::2]] = rises[1::2]
            elif pairs:
                result.rises = None
        except (msgspec.DecodeError, IndexError, ValueError) as error:
            raise Corrupt(
                f"a latency histogram cannot be read: {error}", code="monitoring.latency_corrupt"
            ) from None
        return result


def _first_above(limit_s: float) -> int:
    """Return the first bucket whose durations all exceed a limit."""
    return int(np.searchsorted(BOUNDS_S, limit_s)) + 1


def _pairs(values: Counts) -> list[int]:
    return [int(value) for index in np.flatnonzero(values) for value in (index, values[index])]
