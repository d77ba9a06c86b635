"""Mergeable sketches of one column: quantiles of numbers, frequent items and distinct count of texts.

The only module that knows the `datasketches` package. A sketch keeps a bounded number of values however
many it saw, and two sketches of two halves merge to a sketch of the whole with the same error bound.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any

import datasketches
import numpy as np
import numpy.typing as npt

from penstock.stats.hashed import HashedTexts
from penstock.stats.weighted import WeightedSample, folded, joined, sample_of_ordered, thinned

Floats = npt.NDArray[np.float64]

QUANTILE_K = 400
"""Rank error 0.68 % at 99 % confidence, at most about 10 KB a column."""
ITEM_CAPACITY = 512
"""Exact counts up to so many distinct texts; beyond, each is too low by at most 1/512 of all."""
DISTINCT_LOG2 = 10
"""Relative error of the distinct count about 3.3 %."""
PARTS_MAX = 64
"""So many sketches are merged before they are thinned to one."""
ORDERED_MIN = 4_000
"""From so many values on it is cheaper to put them in order than to update a KLL sketch: a fifth of the time."""
FAN = 16
"""Samples of one level that are thinned to one of the next."""
_FAMILY, _EMPTY, _SINGLE = 15, 1, 4
"""Of a serialised KLL sketch: its family, and the flags of one that holds nothing or one value."""
ITEM_MAX_CHARS = 128
"""Longer texts are cut, so that nobody can fill the memory with one column."""


_POWERS = 2.0 ** np.arange(64)
"""What a value of each level stands for."""


class QuantileSketch:
    """The distribution of finite numbers; NaN and infinities must be counted by the caller.

    A merge is associative and commutative within the rank error, and has no chance in it: the same parts
    give the same numbers whenever they are asked. While fewer than about `k` values were seen it is exact.
    Not thread-safe.

    Source:
        Karnin, Lang, Liberty, "Optimal Quantile Approximation in Streams", 2016; Apache DataSketches KLL.
        Thousands of values at once are put in order instead, and the middles of equal parts kept, in levels that are
        thinned one into the next: Munro, Paterson, "Selection and Sorting with Limited Storage", 1980.
        What is merged are its values with their weights, thinned as in `weighted`.
    """

    def __init__(self, sketch: Any = None) -> None:
        self._sketch = sketch
        self._parts: tuple[WeightedSample, ...] = ()
        self._levels: list[list[WeightedSample]] = []
        self._stored: bytes | None = None

    @property
    def count(self) -> int:
        """How many values were seen."""
        seen = int(self._sketch.n) if self._sketch is not None else 0
        seen += round(sum(part.total for part in self._parts))
        return seen + round(sum(part.total for level in self._levels for part in level))

    def update(self, values: Floats) -> None:
        """Add `(n,) float64` finite values; about 40 ns each, 13 where they are in increasing order."""
        if len(values) >= ORDERED_MIN:
            self.update_ordered(np.sort(values))
        elif len(values):
            self._stored = None
            if self._sketch is None:
                self._sketch = datasketches.kll_doubles_sketch(QUANTILE_K)
            self._sketch.update(np.array(values, dtype=np.float64))  # a copy: it takes none that is read-only

    def update_ordered(self, values: Floats) -> None:
        """Add `(n,) float64` finite values that are in increasing order; with thousands at once."""
        self._stored = None
        one = sample_of_ordered(values)
        for level in self._levels:
            level.append(one)
            if len(level) < FAN:
                return
            one = thinned(joined(level))
            level.clear()
        self._levels.append([one])

    def merged(self, other: QuantileSketch) -> QuantileSketch:
        """Return the sketch of both; neither argument changes."""
        result = QuantileSketch()
        result._parts = (*self._samples(), *other._samples())
        if len(result._parts) > PARTS_MAX:
            result._parts = (thinned(joined(result._parts)),)
        return result

    def grown(self, other: QuantileSketch) -> QuantileSketch:
        """Return the sketch of both, for who adds one part after the other and writes the whole each time.

        It stays as small as one sketch, so neither adding nor writing grows with the number of parts; unlike a merge it
        has as much chance in it as an update. Neither argument changes. About 10 us.
        """
        result = QuantileSketch()
        sketches = [one._sketch for one in (self, other) if one._sketch is not None]
        if sketches:
            result._sketch = copy(sketches[0])
            for one in sketches[1:]:
                result._sketch.merge(one)
        result._parts = folded((*self._ordered(), *other._ordered()))
        return result

    def _ordered(self) -> tuple[WeightedSample, ...]:
        return (*self._parts, *(one for level in self._levels for one in level))

    def _samples(self) -> tuple[WeightedSample, ...]:
        parts = self._ordered()
        if self._sketch is None or not self._sketch.n:
            return parts
        return (*parts, _sample_of(bytes(self._sketch.serialize())))

    def sample(self) -> WeightedSample:
        """Return the values with what each stands for."""
        return joined(self._samples())

    def quantiles(self, ranks: Sequence[float]) -> Floats:
        """Return the values at `ranks` in [0, 1]; NaN when nothing was seen."""
        if not self.count:
            return np.full(len(ranks), math.nan)
        return self.sample().quantiles(ranks)

    def cdf(self, points: Floats, *, inclusive: bool = True) -> Floats:
        """Return P(value <= point), or P(value < point), for increasing finite `points`; NaN without values."""
        if not self.count:
            return np.full(len(points), math.nan)
        sample = self.sample()
        return sample.below(np.asarray(points, dtype=np.float64), inclusive=inclusive) / sample.total

    def to_bytes(self) -> bytes:
        """Serialise; a sketch read back serialises to the same bytes."""
        if self._stored is not None:
            return self._stored
        if not self._parts and not self._levels:
            sketch = self._sketch if self._sketch is not None else datasketches.kll_doubles_sketch(QUANTILE_K)
            return bytes(sketch.serialize())
        samples = self._samples()
        return (samples[0] if len(samples) == 1 else thinned(joined(samples))).to_bytes()

    @staticmethod
    def from_bytes(data: bytes) -> QuantileSketch:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: the bytes are not a sketch.
        """
        result = QuantileSketch()
        result._stored = data
        result._parts = (
            WeightedSample.from_bytes(data) if WeightedSample.is_sample(data) else _sample_of(data),
        )
        return result


def _sample_of(data: bytes) -> WeightedSample:
    """Return the values and weights of a serialised KLL sketch.

    Reading the bytes takes a few us where walking over the sketch takes 300.

    Source: Apache DataSketches, kll_sketch.hpp, the layout of serial versions 1 and 2.
    """
    if len(data) < 8 or data[2] != _FAMILY:
        raise ValueError("not a quantile sketch: a mark is missing")
    if data[3] & _EMPTY:
        return WeightedSample(np.empty(0), np.empty(0))
    try:
        if data[3] & _SINGLE:
            return WeightedSample(np.frombuffer(data, "<f8", 1, 8).astype(np.float64), np.ones(1))
        count, level_count = int.from_bytes(data[8:16], "little"), data[18]
        starts = struct.unpack_from(f"<{level_count}I", data, 20)
        items = np.frombuffer(data, "<f8", -1, 20 + 4 * level_count + 16).astype(np.float64)
        lengths = [
            end - start for start, end in zip(starts, (*starts[1:], starts[0] + len(items)), strict=True)
        ]
        weights = np.repeat(_POWERS[:level_count], lengths)
    except (ValueError, IndexError, struct.error) as error:
        raise ValueError(f"not a quantile sketch: {error}") from None
    if len(weights) != len(items) or sum(one << level for level, one in enumerate(lengths)) != count:
        raise ValueError("not a quantile sketch: its counts do not agree")
    return WeightedSample(items, weights, float(count))


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
        self._hashed: HashedTexts | None = None

    @property
    def distinct(self) -> float:
        """Estimate of how many different texts were seen."""
        if not self.error:
            return float(len(self._counts))
        return float(self._distinct.get_estimate())

    def update(self, counts: Mapping[str, int]) -> None:
        """Add texts with how often each was seen."""
        cut_counts: dict[str, int] = {}
        for item, weight in counts.items():
            cut = item[:ITEM_MAX_CHARS]
            cut_counts[cut] = cut_counts.get(cut, 0) + weight
        if self._hashed is not None:
            self._hashed.update(cut_counts)
        for cut, weight in cut_counts.items():
            self._counts[cut] = self._counts.get(cut, 0) + weight
            self._distinct.update(f"={cut}")  # the sketch would skip an empty text
            self.count += weight
        self._shrink()

    def _shrink(self) -> None:
        """Take the count of the first text beyond the capacity from all; who has none left is forgotten."""
        if len(self._counts) <= ITEM_CAPACITY:
            return
        if not self.error:
            self._hashed = self.hashed
        cut = sorted(self._counts.values(), reverse=True)[ITEM_CAPACITY]
        self._counts = {item: weight - cut for item, weight in self._counts.items() if weight > cut}
        self.error += cut

    @property
    def hashed(self) -> HashedTexts | None:
        """The texts counted by hash; None of a sketch that was stored before they were."""
        if self.error or self._hashed is not None:
            return self._hashed
        result = HashedTexts()
        result.update(self._counts)
        return result

    def merged(self, other: ItemSketch) -> ItemSketch:
        """Return the sketch of both; neither argument changes."""
        result = ItemSketch()
        if self.error or other.error:
            ours, theirs = self.hashed, other.hashed
            result._hashed = ours.merged(theirs) if ours is not None and theirs is not None else None
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

    def to_parts(self) -> tuple[Any, ...]:
        """Return (count, error, texts with counts in alphabetical order, serialised distinct sketch, hashed).

        The last is left out while all counts are exact.
        """
        distinct = bytes(self._distinct.serialize_compact()) if self.error else b""
        parts = (self.count, self.error, sorted(self._counts.items()), distinct)
        return (*parts, self._hashed.to_parts()) if self.error and self._hashed is not None else parts

    @staticmethod
    def from_parts(
        count: int,
        error: int,
        items: Iterable[tuple[str, int]],
        distinct: bytes,
        hashed: list[Any] | None = None,
    ) -> ItemSketch:
        """Read what `to_parts` gave.

        Raises:
            ValueError: the parts are not of a sketch.
        """
        result = ItemSketch()
        result.update({str(item): int(weight) for item, weight in items})
        result.count, result.error = int(count), int(error)
        result._hashed = HashedTexts.from_parts(hashed) if error and hashed is not None else None
        if error:
            try:
                result._distinct = datasketches.hll_sketch.deserialize(distinct)
            except (RuntimeError, IndexError, ValueError) as problem:
                raise ValueError(f"not an item sketch: {problem}") from None
        return result
