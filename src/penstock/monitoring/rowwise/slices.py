"""Quality by slice: of the rows that have one value of a feature, beside that of all other rows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np

from penstock.monitoring.guardrails.limits import SliceSettings
from penstock.monitoring.profile import texts_of
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.rowwise.labelled import Array, LabelledRows
from penstock.records.classes import class_name

MISSING = "(missing)"
NAME_LENGTH, HASH_LENGTH = 60, 8


class SliceQuality(msgspec.Struct, frozen=True, kw_only=True):
    """One slice: its own quality, and that of the labelled rows of the same version that are not of it.

    `needed` is how many labels a slice of its feature has at least.
    """

    feature: str
    value: str
    quality: Quality
    rest: Quality
    needed: int = 0

    @property
    def name(self) -> str:
        """What it is called."""
        return slice_name(self.feature, self.value)

    @property
    def shown(self) -> str:
        """Its value as it is shown."""
        return short_value(self.value)

    @property
    def label_count(self) -> int:
        """How many labels it has."""
        return self.quality.label_count


class Slices(msgspec.Struct, frozen=True, kw_only=True):
    """The slices with enough labels, and of each slice by its name how many labels it has, be they enough or not."""

    judged: tuple[SliceQuality, ...] = ()
    counts: Mapping[str, int] = {}


def slice_name(feature: str, value: str) -> str:
    """Return what a slice is called; no two slices are called the same."""
    return f"{feature}={short_value(value)}"


def short_value(value: str) -> str:
    """Return a value as it is shown: one that is too long is cut, and ends in a hash of the whole, which tells it from others.

    Example:
        >>> short_value("https://shop.example/catalogue/electronics/computers/laptops/13")
        'https://shop.example/catalogue/electronics/computer…c308d271'
    """
    if len(value) <= NAME_LENGTH:
        return value
    digest = hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()[:HASH_LENGTH]
    return f"{value[: NAME_LENGTH - HASH_LENGTH - 1]}…{digest}"


def slices_of(
    rows: LabelledRows, wanted: Sequence[SliceSettings], also: Collection[str] = ()
) -> tuple[SliceQuality, ...]:
    """Return the slices with enough labels, by feature, the largest first; at most so many of a feature as it says.

    Numbers are slices by their value, so a feature with few of them is meant.

    Args:
        also: names of slices that are returned however many larger ones there are.
    """
    return find_slices(rows, wanted, also).judged


def find_slices(rows: LabelledRows, wanted: Sequence[SliceSettings], also: Collection[str] = ()) -> Slices:
    """Return the slices as `slices_of` does, and how many labels all have."""
    all_counts: dict[str, int] = {}
    found: list[SliceQuality] = []
    whole = rows.quality(np.arange(rows.row_count)) if rows.row_count else Quality()
    for one in wanted:
        values = rows.columns.get(one.feature)
        if values is None:
            continue
        texts = np.array([MISSING if text is None else text for text in _value_names(values)], dtype=object)
        names, counts = np.unique(texts.astype(str), return_counts=True)
        for rank, place in enumerate(np.argsort(-counts, kind="stable").tolist()):
            name = slice_name(one.feature, str(names[place]))
            all_counts[name] = int(counts[place])
            if counts[place] < one.min_labels or (rank >= one.most and name not in also):
                continue
            own = rows.quality(np.flatnonzero(texts == names[place]))
            found.append(
                SliceQuality(
                    feature=one.feature,
                    value=str(names[place]),
                    quality=own,
                    rest=whole.without(own),
                    needed=one.min_labels,
                )
            )
    return Slices(judged=tuple(found), counts=all_counts)


def _value_names(values: Array) -> list[str | None]:
    """Return what values are called: a number the same as an integer and as a fraction, since one that is missing makes
    fractions of a column of integers.
    """
    if values.dtype.kind not in "iuf":
        return texts_of(values)
    return [None if value != value else class_name(value) for value in values.tolist()]  # noqa: PLR0124 - a NaN
