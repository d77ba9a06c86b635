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
ITEM_MAP_LOG2 = 10
"""Exact counts up to 768 distinct texts; beyond, an upper bound."""
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
        except RuntimeError as error:
            raise ValueError(f"not a quantile sketch: {error}") from None


class ItemSketch:
    """Counts of the most frequent texts and the number of distinct ones. Not thread-safe.

    Source:
        Anderson et al., "A High-Performance Algorithm for Identifying Frequent Items", 2017 (items);
        Flajolet et al., HyperLogLog, 2007 (distinct); Apache DataSketches.
    """

    def __init__(self, items: Any = None, distinct: Any = None) -> None:
        self._items = datasketches.frequent_strings_sketch(ITEM_MAP_LOG2) if items is None else items
        self._distinct = datasketches.hll_sketch(DISTINCT_LOG2) if distinct is None else distinct

    @property
    def count(self) -> int:
        """How many texts were seen."""
        return int(self._items.total_weight)

    @property
    def distinct(self) -> float:
        """Estimate of how many different texts were seen."""
        return float(self._distinct.get_estimate())

    def update(self, counts: Mapping[str, int]) -> None:
        """Add texts with how often each was seen."""
        for item, weight in counts.items():
            cut = item[:ITEM_MAX_CHARS]
            self._items.update(cut, weight)
            self._distinct.update(cut)

    def merged(self, other: ItemSketch) -> ItemSketch:
        """Return the sketch of both; neither argument changes."""
        items = datasketches.frequent_strings_sketch(ITEM_MAP_LOG2)
        items.merge(self._items)
        items.merge(other._items)
        union = datasketches.hll_union(DISTINCT_LOG2)
        union.update(self._distinct)
        union.update(other._distinct)
        return ItemSketch(items, union.get_result(datasketches.tgt_hll_type.HLL_4))

    def top(self, limit: int) -> list[tuple[str, int]]:
        """Return the `limit` most frequent texts with their counts, most frequent first."""
        found = self._items.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES)
        ordered = sorted(((row[0], int(row[1])) for row in found), key=lambda pair: (-pair[1], pair[0]))
        return ordered[:limit]

    def counts(self, items: Iterable[str]) -> list[int]:
        """Return the (estimated) count of each text."""
        return [int(self._items.get_estimate(item)) for item in items]

    def to_parts(self) -> tuple[bytes, bytes]:
        """Serialise as (items, distinct)."""
        return bytes(self._items.serialize()), bytes(self._distinct.serialize_compact())

    @staticmethod
    def from_parts(items: bytes, distinct: bytes) -> ItemSketch:
        """Read what `to_parts` wrote.

        Raises:
            ValueError: the bytes are not a sketch.
        """
        try:
            return ItemSketch(
                datasketches.frequent_strings_sketch.deserialize(items),
                datasketches.hll_sketch.deserialize(distinct),
            )
        except (RuntimeError, IndexError) as error:
            raise ValueError(f"not an item sketch: {error}") from None
