"""Quality by slice: of the rows that have one value of a feature, beside that of all other rows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from penstock.monitoring.guardrails.limits import SliceSettings
from penstock.monitoring.profile import texts_of
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.rowwise.labelled import LabelledRows

MISSING = "(missing)"
NAME_LENGTH = 60


class SliceQuality(msgspec.Struct, frozen=True, kw_only=True):
    """One slice: its own quality, and that of the labelled rows of the same version that are not of it."""

    feature: str
    value: str
    quality: Quality
    rest: Quality

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.feature}={self.value[:NAME_LENGTH]}"

    @property
    def label_count(self) -> int:
        """How many labels it has."""
        return self.quality.label_count


def slices_of(rows: LabelledRows, wanted: Sequence[SliceSettings]) -> tuple[SliceQuality, ...]:
    """Return the slices with enough labels, by feature, the largest first; at most so many of a feature as it says.

    Numbers are slices by their value, so a feature with few of them is meant.
    """
    found: list[SliceQuality] = []
    whole = rows.quality(np.arange(rows.row_count)) if rows.row_count else Quality()
    for one in wanted:
        values = rows.columns.get(one.feature)
        if values is None:
            continue
        texts = np.array([MISSING if text is None else text for text in texts_of(values)], dtype=object)
        names, counts = np.unique(texts.astype(str), return_counts=True)
        largest = np.argsort(-counts, kind="stable")[: one.most]
        for place in largest.tolist():
            if counts[place] < one.min_labels:
                continue
            own = rows.quality(np.flatnonzero(texts == names[place]))
            found.append(
                SliceQuality(
                    feature=one.feature,
                    value=str(names[place]),
                    quality=own,
                    rest=whole.without(own),
                )
            )
    return tuple(found)
