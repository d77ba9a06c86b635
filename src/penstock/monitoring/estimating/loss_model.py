"""What is kept of how a regression's errors depend on its inputs; fitted and asked in `losses`."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.stats.additive import Additive

Floats = npt.NDArray[np.float64]


class Loss(msgspec.Struct, frozen=True, array_like=True):
    """One loss: its mean, what each bin of each column adds, and what is left of it by row, held out."""

    base: float
    steps: tuple[tuple[float, ...], ...]
    deviation: float
    explained_ratio: float

    def expected(self, shares: list[Floats], rows: tuple[int, int]) -> tuple[float, float]:
        """Return the mean that rows of these shares have, and its standard error once `rows` have labels."""
        model = Additive(self.base, tuple(np.array(one) for one in self.steps))
        return max(0.0, model.of_shares(shares)), self.deviation * math.sqrt(sum(1 / one for one in rows))


class LossModel(msgspec.Struct, frozen=True, array_like=True):
    """What a regression's absolute and squared errors depend on; `edges` are the bins of its answer.

    `tail_ratio` is how far the root of a squared error is above the absolute one among rows that are alike.
    """

    features: tuple[str, ...]
    edges: tuple[float, ...]
    row_count: int
    tail_ratio: float
    absolute: Loss
    squared: Loss
