"""Mergeable sketches of one column: quantiles of numbers, frequent items and distinct count of texts.

The only module that knows the `datasketches` package. A sketch keeps a bounded number of values however
many it saw, and two sketches of two halves merge to a sketch of the whole with the same error bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasketches
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

QUANTILE_K = 400
"""Rank error 0.68 % at 99 % confidence, at most about 10 KB a column."""
ITEM_CAPACITY = 512
"""Exact counts up to so many distinct texts; beyond, each is too low by at most 1/512 of all."""
DISTINCT_LOG2 = 10
"""Relative error of the distinct count about 3.3 %."""
ITEM_MAX_CHARS = 128
"""Longer texts are cut, so that nobody can fill the memory with one column."""


class QuantileSketch:
    """The distribution of finite numbers; NaN and infinities must be counted by the caller.

    A merge is associative and commutative within the rank error; while fewer than about `k` values were
    seen it is exact. Not thread-safe.

    Source:
        Karnin, Lang, Liberty, "Optimal Quantile Approximation in Streams", 2016; Apache DataSketches KLL.
    """

    def __init__(self, sketch: Any = None) -> None:
        self._sketch = datasketches.kll_doubles_sketch(QUANTILE_K) if sketch is None else sketch

    @property
    def count(self) -> int:
        """How many values were seen."""
        return int(self._sketch.n)

    def update(self, values: Floats) -> None:
        """Add `(n,) float64` finite values; about 27 ns each."""
        if len(values):
            self._sketch.update(np.ascontiguousarray(values, dtype=np.float64))

    def merged(self, other: QuantileSketch) -> QuantileSketch:
        """Return the sketch of both; neither argument changes."""
        result = QuantileSketch()
        result._sketch.merge(self._sketch)
        result._sketch.merge(other._sketch)
        return result

    def quantiles(self, ranks: Sequence[float]) -> Floats:
        """Return the values at `ranks` in [0, 1]; NaN when nothing was seen."""
        if not self.count:
            return np.full(len(ranks), math.nan)
        return np.asarray(self._sketch.get_quantiles(list(ranks), True), dtype=np.float64)

    def cdf(self, points: Floats) -> Floats:
        """Return P(value <= point) for strictly increasing finite `points`; NaN when nothing was seen."""
        if not self.count:
            return np.full(len(points), math.nan)
        if not len(points):
            return np.empty(0)
        return np.asarray(self._sketch.get_cdf(points.tolist(), True)[:-1], dtype=np.float64)

    def to_bytes(self) -> bytes:
        """Serialise; a sketch read back serialises to the same bytes."""
        return bytes(self._sketch.serialize())

    @staticmethod
    def from_bytes(data: bytes) -> QuantileSketch:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: the bytes are not a sketch.
        """
        try:
            return QuantileSketch(datasketches.kll_doubles_sketch.deserialize(data))
        except (RuntimeError, IndexError, ValueError) as error:
            raise ValueError(f"not a quantile sketch: {error}") from None


class ItemSketch:
    """Counts of the most frequent texts and the number of distinct ones. Not thread-safe.

    Exact while at most `ITEM_CAPACITY` distinct texts were seen; beyond, a count is too low by at most
    `error`, itself at most count / `ITEM_CAPACITY`. A merge is commutative, and associative within `error`.
    Equal sketches give equal bytes, which the sketch of datasketches does not: a digest needs it.

    Source:
        Misra, Gries, "Finding Repeated Elements", 1982; Agarwal et al., "Mergeable Summaries", 2012,
        section 3 (merge); HyperLogLog of Apache DataSketches (distinct).
    """

    def __init__(self) -> None:
        self.count = 0
        self.error = 0
        self._counts: dict[str, int] = {}
        self._distinct = datasketches.hll_sketch(DISTINCT_LOG2)

    @property
    def distinct(self) -> float:
        """Estimate of how many different texts were seen."""
        if not self.error:
            return float(len(self._counts))
        return float(self._distinct.get_estimate())

    def update(self, counts: Mapping[str, int]) -> None:
        """Add texts with how often each was seen."""
        for item, weight in counts.items():
            cut = item[:ITEM_MAX_CHARS]
            self._counts[cut] = self._counts.get(cut, 0) + weight
            self._distinct.update(f"={cut}")  # the sketch would skip an empty text
            self.count += weight
        self._shrink()

    def _shrink(self) -> None:
        """Take the count of the first text beyond the capacity from all; who has none left is forgotten."""
        if len(self._counts) <= ITEM_CAPACITY:
            return
        cut = sorted(self._counts.values(), reverse=True)[ITEM_CAPACITY]
        self._counts = {item: weight - cut for item, weight in self._counts.items() if weight > cut}
        self.error += cut

    def merged(self, other: ItemSketch) -> ItemSketch:
        """Return the sketch of both; neither argument changes."""
        result = ItemSketch()
        result.count, result.error = self.count + other.count, self.error + other.error
        result._counts = dict(self._counts)
        for item, weight in other._counts.items():
            result._counts[item] = result._counts.get(item, 0) + weight
        union = datasketches.hll_union(DISTINCT_LOG2)
        union.update(self._distinct)
        union.update(other._distinct)
        result._distinct = union.get_result(datasketches.tgt_hll_type.HLL_4)
        result._shrink()
        return result

    def top(self, limit: int) -> list[tuple[str, int]]:
        """Return the `limit` most frequent texts with their counts, most frequent first."""
        return sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]

    def counts(self, items: Iterable[str]) -> list[int]:
        """Return the count of each text; 0 for one that is not among the frequent."""
        return [self._counts.get(item, 0) for item in items]

    def to_parts(self) -> tuple[int, int, list[tuple[str, int]], bytes]:
        """Return (count, error, texts with counts in alphabetical order, serialised distinct sketch)."""
        distinct = bytes(self._distinct.serialize_compact()) if self.error else b""
        return self.count, self.error, sorted(self._counts.items()), distinct

    @staticmethod
    def from_parts(count: int, error: int, items: Iterable[tuple[str, int]], distinct: bytes) -> ItemSketch:
        """Read what `to_parts` gave.

        Raises:
            ValueError: the parts are not of a sketch.
        """
        result = ItemSketch()
        result.update({str(item): int(weight) for item, weight in items})
        result.count, result.error = int(count), int(error)
        if error:
            try:
                result._distinct = datasketches.hll_sketch.deserialize(distinct)
            except (RuntimeError, IndexError, ValueError) as problem:
                raise ValueError(f"not an item sketch: {problem}") from None
        return result
