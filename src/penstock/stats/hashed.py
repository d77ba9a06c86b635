"""Texts of too many kinds to count each: exact counts by hash, and of a sample of texts chosen by hash.

Two samples hold the same texts wherever both hold everything below a hash, so which texts of one were never
seen in the other can be told from the samples.

Source:
    Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009 (bins by hash); Cohen,
    Kaplan, "Summarizing data using bottom-k sketches", PODC 2007 (coordinated samples); Good, "The population
    frequencies of species", Biometrika 40, 1953 (what share of rows is new by nature).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 64
SAMPLE = 512
EVERYTHING = 2**64


class HashedTexts:
    """Counts by hash. A merge is associative and commutative, exactly."""

    def __init__(self) -> None:
        self.bins: npt.NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self.limit = EVERYTHING
        self.sample: dict[int, int] = {}

    def update(self, counts: Mapping[str, int]) -> None:
        """Add texts with how often each was seen."""
        for text, weight in counts.items():
            value = hash_text(text)
            self.bins[value % BINS] += weight
            if value < self.limit:
                self.sample[value] = self.sample.get(value, 0) + weight
        self._shrink()

    def _shrink(self) -> None:
        if len(self.sample) > SAMPLE:
            self.limit = min(self.limit, sorted(self.sample)[SAMPLE])
        self.sample = {value: weight for value, weight in self.sample.items() if value < self.limit}

    def merged(self, other: HashedTexts) -> HashedTexts:
        """Return the counts of both; neither argument changes."""
        result = HashedTexts()
        result.bins = self.bins + other.bins
        result.limit = min(self.limit, other.limit)
        result.sample = dict(self.sample)
        for value, weight in other.sample.items():
            result.sample[value] = result.sample.get(value, 0) + weight
        result._shrink()
        return result

    def unseen_in(self, reference: HashedTexts) -> tuple[int, int]:
        """Return (rows of texts the reference never saw, rows looked at) of the texts both samples cover."""
        limit = min(self.limit, reference.limit)
        covered = {value: weight for value, weight in self.sample.items() if value < limit}
        unseen = sum(weight for value, weight in covered.items() if value not in reference.sample)
        return unseen, sum(covered.values())

    @property
    def new_ratio(self) -> float:
        """The share of rows in [0, 1] that further rows of the same kind would bring of new texts (Good)."""
        total = sum(self.sample.values())
        return sum(weight == 1 for weight in self.sample.values()) / total if total else 0.0

    def to_parts(self) -> list[Any]:
        """Return `[bins, limit as text, [hash, count, …]]`, hashes in order."""
        pairs = [part for value in sorted(self.sample) for part in (value, self.sample[value])]
        return [self.bins.tolist(), str(self.limit), pairs]

    @staticmethod
    def from_parts(parts: list[Any]) -> HashedTexts:
        """Read what `to_parts` gave.

        Raises:
            ValueError: the parts are of something else.
        """
        bins, limit, pairs = parts
        result = HashedTexts()
        result.bins = np.array(bins, dtype=np.int64)
        result.limit = int(limit)
        result.sample = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if result.bins.shape != (BINS,):
            raise ValueError("not counts by hash")
        return result


def hash_text(text: str) -> int:
    """Return 64 bits of a text, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
