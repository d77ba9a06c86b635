"""A regression that is a sum of one step function a column: what it expects of rows needs only how they fall into bins.

That is why it is used for what is known of live traffic: a window keeps each column's bins, and not its rows. What it
cannot know is what several columns do together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
ROUNDS = 30
PRIOR_ROWS = 20.0
"""A bin is drawn to nothing as if so many rows said so."""
FOLDS = 5


@dataclass(frozen=True)
class Additive:
    """`base` is the mean of what was fitted; `steps` say of each column what each of its bins adds."""

    base: float
    steps: tuple[Floats, ...]

    def of_rows(self, places: Sequence[Places]) -> Floats:
        """Return what is expected of each of `(n,)` rows, given the bin of each column."""
        found: Floats = np.full(len(places[0]) if places else 0, self.base)
        for step, one in zip(self.steps, places, strict=True):
            found += step[one]
        return found

    def of_shares(self, shares: Sequence[Floats]) -> float:
        """Return the mean that is expected of rows of which each column has these shares by bin."""
        return self.base + sum(float(step @ one) for step, one in zip(self.steps, shares, strict=True))


def fit_additive(places: Sequence[Places], sizes: Sequence[int], target: Floats) -> Additive:
    """Fit by going over the columns again and again, each to what the others leave; nothing of it is by chance.

    Args:
        places: of each column the bin of each of the `(n,)` rows, below its size in `sizes`.
        target: `(n,)` finite values.

    Source:
        Friedman, Stuetzle, "Projection Pursuit Regression", 1981 (backfitting); Hastie, Tibshirani, "Generalized
        Additive Models", 1986. A bin's mean is drawn to zero as a random effect's is.
    """
    base = float(target.mean())
    steps = [np.zeros(size) for size in sizes]
    counts = [np.bincount(one, minlength=size) for one, size in zip(places, sizes, strict=True)]
    left = target - base
    for _ in range(ROUNDS):
        moved = 0.0
        for index, (one, count) in enumerate(zip(places, counts, strict=True)):
            left = left + steps[index][one]
            wanted = np.bincount(one, left, len(count)) / (count + PRIOR_ROWS)
            wanted -= float(count @ wanted) / len(target)
            wanted[count == 0] = 0.0
            moved = max(moved, float(np.abs(wanted - steps[index]).max()))
            steps[index] = wanted
            left = left - wanted[one]
        if moved <= 1e-4 * (float(target.std()) or 1.0):
            break
    return Additive(base, tuple(steps))


def held_out(places: Sequence[Places], sizes: Sequence[int], target: Floats) -> Floats:
    """Return what is expected of each row by a fit that was not shown it: of the other four fifths."""
    expected = np.empty(len(target))
    fold = np.arange(len(target)) % FOLDS
    for number in range(FOLDS):
        shown, kept = fold != number, fold == number
        fitted = fit_additive([one[shown] for one in places], sizes, target[shown])
        expected[kept] = fitted.of_rows([one[kept] for one in places])
    return expected
