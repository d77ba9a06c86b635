"""Weighted samples: a distribution as values with weights, merged and thinned without any chance in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SIZE = 1000
"""Points of a thinned sample: a rank is at most 1/2,000 further off for it."""
_MARK = b"W1"


class WeightedSample:
    """Values with how many each stands for. Immutable; a merge keeps every value.

    Args:
        total: the sum of the weights, where it is known.
    """

    def __init__(self, values: Floats, weights: Floats, total: float | None = None) -> None:
        self.values = values
        self.weights = weights
        if total is not None:
            self.__dict__["total"] = total

    @cached_property
    def total(self) -> float:
        """How many values it stands for."""
        return float(self.weights.sum())

    def below(self, points: Floats, *, inclusive: bool) -> Floats:
        """Return how many values are less than (or at most) each of increasing `points`."""
        places = np.searchsorted(points, self.values, side="left" if inclusive else "right")
        counts = np.bincount(places, self.weights, len(points) + 1)[: len(points)]
        result: Floats = np.cumsum(counts, dtype=np.float64)
        return result

    def deviation(self) -> float:
        """Return the standard deviation of the values, however far they are from zero beside it."""
        apart = self.values - self.values.min()
        scale = float(apart.max())
        if scale == 0:
            return 0.0
        shares = apart / scale
        mean = float(np.average(shares, weights=self.weights))
        return scale * math.sqrt(float(np.average(np.square(shares - mean), weights=self.weights)))

    def quantiles(self, ranks: Sequence[float]) -> Floats:
        """Return the smallest values that at least a share `ranks` of all does not exceed."""
        order = np.argsort(self.values, kind="stable")
        cumulated = np.cumsum(self.weights[order])
        places = np.searchsorted(cumulated, np.asarray(ranks) * cumulated[-1] * (1 - 1e-12))
        found: Floats = self.values[order][np.minimum(places, len(order) - 1)]
        return found

    def to_bytes(self) -> bytes:
        """Serialise as a mark, the values and the weights, little-endian doubles."""
        return _MARK + self.values.astype("<f8").tobytes() + self.weights.astype("<f8").tobytes()

    @staticmethod
    def is_sample(data: bytes) -> bool:
        """Whether bytes are what `to_bytes` wrote."""
        return data[:2] == _MARK

    @staticmethod
    def from_bytes(data: bytes) -> WeightedSample:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: the bytes are something else.
        """
        numbers = np.frombuffer(data[2:], dtype="<f8").astype(np.float64)
        values, weights = np.split(numbers, 2) if len(numbers) % 2 == 0 else (numbers, numbers[:0])
        if not WeightedSample.is_sample(data) or len(values) != len(weights) or not (weights > 0).all():
            raise ValueError("not a weighted sample")
        return WeightedSample(values, weights)


def joined(samples: Sequence[WeightedSample]) -> WeightedSample:
    """Return the sample of all."""
    if not samples:
        return WeightedSample(np.empty(0), np.empty(0))
    if len(samples) == 1:
        return samples[0]
    return WeightedSample(
        np.concatenate([one.values for one in samples]), np.concatenate([one.weights for one in samples])
    )


def thinned(sample: WeightedSample, size: int = SIZE) -> WeightedSample:
    """Return a sample of at most about `size` points with the same total.

    A value that stands for more than its share keeps its exact weight, so that heavy values stay exact;
    of the others the middles of equal parts are kept.
    """
    if not len(sample.values):
        return sample
    order = np.argsort(sample.values, kind="stable")  # merges runs that are in order: half the time of others
    values, weights = sample.values[order], sample.weights[order]
    is_new = values[1:] != values[:-1]
    if not is_new.all():
        starts = np.flatnonzero(np.append(True, is_new))
        values, weights = values[starts], np.add.reduceat(weights, starts)
    return _reduced(values, weights, size)


def folded(samples: Sequence[WeightedSample]) -> tuple[WeightedSample, ...]:
    """Return samples of the same values, each standing for at least twice as many as the next.

    So there are few of them however many came one after the other, and every value was thinned at most as often as
    its part could double. Cost: of one more sample about one thinning.

    Source:
        Bentley, Saxe, "Decomposable Searching Problems I", 1980 (the logarithmic method).
    """
    kept: list[WeightedSample] = []
    for one in samples:
        last, total = [one], one.total
        while kept and kept[-1].total < 2 * total:
            last.append(kept.pop())
            total += last[-1].total
        kept.append(one if len(last) == 1 else thinned(joined(last[::-1])))
    return tuple(kept)


@lru_cache(maxsize=4)
def _middles(size: int) -> Floats:
    """Return the middles of equal parts of [0, 1]."""
    return (np.arange(size) + 0.5) / size


def sample_of_ordered(ordered: Floats, size: int = SIZE) -> WeightedSample:
    """Return the sample of at most about `size` points of `(n,)` values in increasing order.

    Cost: nearly none where no value comes often; otherwise about 2 ns for each value and 5 for each distinct one.
    """
    count = len(ordered)
    if count > size:
        picked = ordered[((np.arange(size) + 0.5) * (count / size)).astype(np.int64)]
        if (picked[1:] != picked[:-1]).all():
            return WeightedSample(picked, np.full(size, count / size))
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), count - 1)
    return _reduced(ordered[ends], np.diff(ends, prepend=-1).astype(np.float64), size)


def _reduced(values: Floats, weights: Floats, size: int) -> WeightedSample:
    """Return a thinned sample of increasing values with weights."""
    if len(values) <= size:
        return WeightedSample(values, weights)
    heavy = weights >= weights.sum() / size
    has_heavy = bool(heavy.any())
    light_values, light = (values[~heavy], weights[~heavy]) if has_heavy else (values, weights)
    cumulated = np.cumsum(light)
    middles = _middles(size) * cumulated[-1]
    picked = light_values[np.minimum(np.searchsorted(cumulated, middles), len(light) - 1)]
    if not has_heavy and (picked[1:] != picked[:-1]).all():
        return WeightedSample(picked, np.full(size, cumulated[-1] / size))
    kept, times = np.unique(picked, return_counts=True)
    return WeightedSample(
        np.concatenate([values[heavy], kept]),
        np.concatenate([weights[heavy], times * (cumulated[-1] / size)]),
    )
