"""Labelled rows: what was asked about or which slice a row is of, what was answered, and what was the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.monitoring.quality.labels import score
from penstock.monitoring.quality.measures import Quality

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelledRows:
    """Rows with their labels, the oldest first. `columns` and `outputs` are `(n,)` each.

    `requests` is the number of each row's request, `times_s` when it was asked; `classes` and `positive` are what
    labels are scored by.
    """

    columns: Mapping[str, Array] = field(default_factory=dict)
    outputs: Mapping[str, Array] = field(default_factory=dict)
    labels: Sequence[Any] = ()
    requests: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    times_s: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    classes: tuple[Any, ...] | None = None
    positive: Any = None

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    def taken(self, places: Ints) -> LabelledRows:
        """Return the rows at some places."""
        return replace(
            self,
            columns={name: values[places] for name, values in self.columns.items()},
            outputs={name: values[places] for name, values in self.outputs.items()},
            labels=[self.labels[one] for one in places.tolist()],
            requests=self.requests[places],
            times_s=self.times_s[places],
        )

    def quality(self, places: Ints) -> Quality:
        """Return the quality of the rows at some places."""
        return score(
            {name: values[places] for name, values in self.outputs.items()},
            [self.labels[one] for one in places.tolist()],
            requests=self.requests[places].tolist(),
            classes=self.classes,
            positive=self.positive,
        )
