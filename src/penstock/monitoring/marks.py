"""Exact counts of a column between marks: the edges of its reference's bins.

A sketch knows about how many values are below a point; where hardly any are between two points that says
little, and the stability index depends on just that. Whoever knows the reference counts exactly at its edges.
Counts at the same marks add up, whoever made them.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def key_of(edges: Floats) -> bytes:
    """Return what tells marks at these edges from others, in eight bytes."""
    return hashlib.sha256(np.ascontiguousarray(edges, dtype="<f8").tobytes()).digest()[:8]


class Marks:
    """How many values are below the first of `k` edges, at it, between it and the second, …: `2 k + 1` counts.

    What was read back knows the key of its edges only, and counts no more.
    """

    def __init__(self, key: bytes, counts: Counts, edges: Floats | None = None) -> None:
        self.key = key
        self.counts = counts
        self._edges = edges

    @staticmethod
    def at(edges: Floats) -> Marks:
        """Return empty marks at increasing edges."""
        return Marks(key_of(edges), np.zeros(2 * len(edges) + 1, dtype=np.int64), edges)

    @property
    def can_count(self) -> bool:
        """Whether the edges are known."""
        return self._edges is not None

    def update(self, values: Floats) -> None:
        """Count finite values.

        Raises:
            ValueError: only the key of the edges is known.
        """
        if self._edges is None:
            raise ValueError("the edges of these marks are not known")
        places = np.searchsorted(self._edges, values, side="left")
        places = places + np.searchsorted(self._edges, values, side="right")
        self.counts = self.counts + np.bincount(places, minlength=len(self.counts))

    def update_ordered(self, values: Floats) -> None:
        """Count finite values that are in increasing order: what it costs does not grow with them.

        Raises:
            ValueError: only the key of the edges is known.
        """
        if self._edges is None:
            raise ValueError("the edges of these marks are not known")
        below = np.searchsorted(values, self._edges, side="left")
        upto = np.searchsorted(values, self._edges, side="right")
        bounds = np.concatenate([[0], np.stack([below, upto], axis=1).ravel(), [len(values)]])
        self.counts = self.counts + np.diff(bounds)

    def merged(self, other: Marks) -> Marks | None:
        """Return the counts of both; None where they are at other edges."""
        if self.key != other.key or len(self.counts) != len(other.counts):
            return None
        return Marks(self.key, self.counts + other.counts, self._edges if self.can_count else other._edges)

    def pack(self) -> list[Any]:
        """Return key, number of counts, and [index, count, …] of those above zero."""
        used = np.flatnonzero(self.counts)
        return [self.key, len(self.counts), [int(v) for index in used for v in (index, self.counts[index])]]

    @staticmethod
    def unpack(key: bytes, length: int, pairs: list[int]) -> Marks:
        """Read what `pack` gave.

        Raises:
            IndexError, ValueError: it is something else.
        """
        counts = np.zeros(int(length), dtype=np.int64)
        counts[pairs[::2]] = pairs[1::2]
        return Marks(bytes(key), counts)
