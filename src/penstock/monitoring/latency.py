"""Latency histograms with fixed logarithmic buckets, so that any two of them merge exactly."""

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
BUCKETS = 147
"""Upper bounds from 0.1 ms to 110 s; the last bucket holds everything above."""
BOUNDS_S: npt.NDArray[np.float64] = np.asarray(FIRST_S * GROWTH ** np.arange(BUCKETS), dtype=np.float64)


class LatencyHistogram:
    """Counts of durations; bucket i holds (bound i-1, bound i]."""

    def __init__(self, counts: npt.NDArray[np.int64] | None = None) -> None:
        self.counts = np.zeros(BUCKETS + 1, dtype=np.int64) if counts is None else counts

    @property
    def count(self) -> int:
        """How many durations were seen."""
        return int(self.counts.sum())

    def update(self, durations_s: Iterable[float]) -> None:
        """Add durations in seconds."""
        values = np.fromiter(durations_s, dtype=np.float64)
        self.counts += np.bincount(np.searchsorted(BOUNDS_S, values), minlength=BUCKETS + 1)

    def merge(self, other: LatencyHistogram) -> LatencyHistogram:
        """Return the histogram of both."""
        return LatencyHistogram(self.counts + other.counts)

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
        first = int(np.searchsorted(BOUNDS_S, limit_s)) + 1
        return int(self.counts[first:].sum())

    def to_bytes(self) -> bytes:
        """Serialise as MessagePack [bucket, count, bucket, count, …] of the buckets in use."""
        used = np.flatnonzero(self.counts)
        return msgspec.msgpack.encode([int(v) for index in used for v in (index, self.counts[index])])

    @staticmethod
    def from_bytes(data: bytes) -> LatencyHistogram:
        """Read what `to_bytes` wrote.

        Raises:
            Corrupt: the bytes are something else.
        """
        result = LatencyHistogram()
        try:
            pairs = msgspec.msgpack.decode(data, type=list[int])
            result.counts[pairs[::2]] = pairs[1::2]
        except (msgspec.DecodeError, IndexError, ValueError) as error:
            raise Corrupt(
                f"a latency histogram cannot be read: {error}", code="monitoring.latency_corrupt"
            ) from None
        return result
