"""What the checks of a gate may look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class HeldOut(Protocol):
    """The held-out rows, scored by the candidate and by the champion. Each is computed when first asked."""

    def labels(self) -> Floats:
        """Return the truth, (n_rows,)."""
        ...

    def candidate_scores(self) -> Floats:
        """Return the candidate's scores, (n_rows,)."""
        ...

    def champion_scores(self) -> Floats | None:
        """Return the champion's scores on the same rows; None without one, or when the candidate is it."""
        ...

    def of_classes(self, metric: str) -> tuple[Floats, Floats, Floats | None] | None:
        """Return truth and both models' scores so that a metric of two classes gives that of the models' own.

        None where there is nothing to compare, and where the labels are 0 and 1 or numbers.

        Raises:
            Invalid: the metric says nothing of so many classes, or a label is none of them.
        """
        ...

    def groups(self, column: str) -> NDArray[np.int64]:
        """Return the number of each row's group, (n_rows,): rows with one value in a column are one.

        Raises:
            Invalid: the table has no such column.
        """
        ...

    @property
    def champion(self) -> str | None:
        """The champion's name, `model/number`, or None."""
        ...


@dataclass(frozen=True)
class Evidence:
    """What the checks look at: the tree of the commit, its metrics, and the held-out rows.

    `metrics_from` says where the metrics were read; empty where nothing names such a place.
    """

    root: Path
    metrics: Mapping[str, float]
    held_out: HeldOut
    metrics_from: str = ""
