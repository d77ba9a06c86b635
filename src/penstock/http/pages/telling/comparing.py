"""Things beside each other: one row a fact, with a text for each, which differ and which is the best. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.http.pages.telling.differences import beside
from penstock.http.pages.telling.formatting import column


@dataclass(frozen=True)
class Compared:
    """One row: a name with a text for each thing that is compared; `best` are the places of the best values."""

    kind: str
    name: str
    texts: tuple[str, ...]
    best: frozenset[int] = frozenset()
    is_number: bool = False

    @property
    def differs(self) -> bool:
        """Whether not all have the same."""
        return len(set(self.texts)) > 1


def texts_row(kind: str, name: str, texts: Sequence[str]) -> Compared:
    """Return a row of texts; of two lists only what one has and the other has not is told."""
    if len(texts) == 2:
        return Compared(kind, name, beside(*texts))
    return Compared(kind, name, tuple(texts))


def numbers_row(
    kind: str, name: str, values: Sequence[float | None], *, loss: bool | None, never_best: Sequence[bool]
) -> Compared:
    """Return a row of numbers with the same decimals.

    Args:
        loss: whether less is better; None where nobody knows.
        never_best: those that count as the best of nothing, such as what was rolled back.
    """
    kept = [None if never else value for value, never in zip(values, never_best, strict=True)]
    return Compared(kind, name, tuple(column(values)), _best(kept, loss), is_number=True)


def _best(values: Sequence[float | None], loss: bool | None) -> frozenset[int]:
    known = [one for one in values if one is not None and not math.isnan(one)]
    if loss is None or len(known) < 2:
        return frozenset()
    best = min(known) if loss else max(known)
    return frozenset(place for place, one in enumerate(values) if one == best)
