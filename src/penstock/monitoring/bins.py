"""Bins of a column as its reference has them: the same for sketches and for plain values.

Numbers: the reference's deciles, and every value that many of its rows share as a bin of its own, so that
flags, constants and caps are seen. Texts: the frequent ones, and the others by hash. The bins of a column
that was counted at these edges are exact, as those of values are; those of a sketch are estimates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.monitoring.marks import key_of
from penstock.monitoring.profile import ColumnProfile, NumberColumn, Profile, TextColumn, texts_of
from penstock.stats import hashed

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
DECILES = tuple(step / 10 for step in range(1, 10))
HEAVY = 0.01
"""Share of the reference's rows from which on a single value or text has a bin of its own."""
RARE = 0.002
"""The same for texts of a column whose texts are all counted."""
CATEGORY_MAX = 100
CURVE_POINTS = 400
EXACT_MAX = 400
"""So many values every sketch keeps one by one."""


class NumberBins:
    """Bins of a numeric column: the values below, at and between its edges; edges that are no atom have no bin."""

    def __init__(self, reference: NumberColumn) -> None:
        ranks = np.arange(1, CURVE_POINTS) / CURVE_POINTS
        self.curve = np.unique(reference.sketch.quantiles(ranks.tolist())) if reference.count else np.empty(0)
        edges = np.unique(reference.sketch.quantiles(DECILES)) if reference.count else np.empty(0)
        mass = _at(reference, self.curve)
        atoms = self.curve[mass >= HEAVY]
        self.edges = np.union1d(edges, atoms)
        self._is_atom = np.isin(self.edges, atoms)
        self._of_raw = np.cumsum(np.concatenate([[0], self._keeps()])).astype(np.int64)
        self._key = key_of(self.edges)

    def counts(self, column: ColumnProfile | None) -> Floats:
        """Return how many of a column's present values are in each bin."""
        if not isinstance(column, NumberColumn) or not column.count:
            return self._merged(np.zeros(2 * len(self.edges) + 1))
        if column.marks is not None and column.marks.key == self._key:
            return self._merged(column.marks.counts.astype(np.float64))
        count, sample = column.count, column.sketch.sample()
        bounds = np.empty(2 * len(self.edges) + 2)
        bounds[0], bounds[-1] = 0.0, count
        bounds[1:-1:2] = sample.below(self.edges, inclusive=False) / sample.total * count
        bounds[2:-1:2] = sample.below(self.edges, inclusive=True) / sample.total * count
        return self._merged(np.diff(bounds))

    def counts_exactly(self, column: ColumnProfile | None) -> bool:
        """Whether a column's values were counted at these edges, or there are few enough for a sketch to have all."""
        if not isinstance(column, NumberColumn) or column.count <= EXACT_MAX:
            return True
        return column.marks is not None and column.marks.key == self._key

    def places(self, values: Array) -> npt.NDArray[np.int64]:
        """Return the bin of each value; one beyond the last for what is not finite."""
        numbers = np.asarray(values, dtype=np.float64)
        left = np.searchsorted(self.edges, numbers, side="left")
        raw = left + np.searchsorted(self.edges, numbers, side="right")
        of_raw = self._of_raw
        places: npt.NDArray[np.int64] = np.where(np.isfinite(numbers), of_raw[raw], of_raw[-1] + 1)
        return places

    def _keeps(self) -> npt.NDArray[np.int64]:
        """Return for each raw bin after the first whether it begins a new bin.

        Raw bins are: below the first edge, at it, between it and the second, at the second, … An edge that
        is no atom belongs to what is below it.
        """
        keeps = np.ones((len(self.edges), 2), dtype=np.int64)
        keeps[~self._is_atom, 0] = 0
        return keeps.ravel()

    def _merged(self, raw: Floats) -> Floats:
        return np.bincount(self._of_raw, raw).astype(np.float64)


class TextBins:
    """Bins of a column of texts or booleans: its frequent texts, and all others by hash or as one."""

    def __init__(self, reference: TextColumn) -> None:
        sketch = reference.sketch
        self._is_exact = not sketch.error
        least = (RARE if self._is_exact else HEAVY) * max(1, sketch.count)
        self._texts = [text for text, count in sketch.top(CATEGORY_MAX) if count >= least]
        self._place = {text: index for index, text in enumerate(self._texts)}
        self._is_hashed = not self._is_exact and sketch.hashed is not None

    def counts(self, column: ColumnProfile | None) -> Floats:
        """Return how many of a column's present texts are in each bin."""
        sketch = column.sketch if isinstance(column, TextColumn) else TextColumn().sketch
        own = np.array(sketch.counts(self._texts), dtype=np.float64)
        if not self._is_hashed or sketch.hashed is None:
            others = np.zeros(hashed.BINS if self._is_hashed else 1)
            others[0] = max(0.0, sketch.count - own.sum())
            return np.concatenate([own, others])
        others = sketch.hashed.bins.astype(np.float64)
        for text, count in zip(self._texts, own, strict=True):
            others[hashed.hash_text(text) % hashed.BINS] -= count
        return np.concatenate([own, np.maximum(others, 0.0)])

    def places(self, values: Array) -> npt.NDArray[np.int64]:
        """Return the bin of each text; beyond the last bin for what is missing."""
        texts = texts_of(values)
        found = {text: self._place_of(text) for text in set(texts)}
        return np.array([found[text] for text in texts], dtype=np.int64)

    def _place_of(self, text: str | None) -> int:
        others = hashed.BINS if self._is_hashed else 1
        if text is None:
            return len(self._texts) + others
        if text in self._place:
            return self._place[text]
        return len(self._texts) + hashed.hash_text(text) % others


def bins_of(reference: ColumnProfile) -> NumberBins | TextBins:
    """Return the bins of a column."""
    return NumberBins(reference) if isinstance(reference, NumberColumn) else TextBins(reference)


def edges_of(reference: Profile) -> dict[str, Floats]:
    """Return the edges of a reference's numeric columns, for whoever counts at them."""
    columns = {name: reference.column(name) for name in reference.column_names}
    return {name: NumberBins(one).edges for name, one in columns.items() if isinstance(one, NumberColumn)}


def _at(column: NumberColumn, points: Floats) -> Floats:
    """Return the share of a column's values that equal each point."""
    if not column.count:
        return np.zeros(len(points))
    return column.sketch.cdf(points) - column.sketch.cdf(points, inclusive=False)
