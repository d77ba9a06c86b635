"""Linear models as their numbers: what they answer is a product of matrices, and they can be handed to another process.

Nothing here knows scikit-learn. What is said of an estimator is made from one in `compiling`, which proves it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from penstock.serving.loaders.compiled.portable import Portable
from penstock.serving.loaders.compiled.table import Array, Matrix, NotCompiled, Table

Numbers = npt.NDArray[np.float64]


class Scaled(Portable, frozen=True, tag=True):
    """Columns moved by `mean` and divided by `scale`, as far as they are told."""

    mean: Array | None
    scale: Array | None

    def __call__(self, table: Table) -> Table:
        """Return the table scaled."""
        numbers = table.numbers()
        if self.mean is not None:
            numbers = numbers - self.mean
        return Table.of_matrix(numbers if self.scale is None else numbers / self.scale)


class Stretched(Portable, frozen=True, tag=True):
    """Columns times `scale` plus `shift`, kept within `bounds` where there are some."""

    scale: Array
    shift: Array
    bounds: tuple[float, float] | None

    def __call__(self, table: Table) -> Table:
        """Return the table stretched."""
        numbers = table.numbers() * self.scale + self.shift
        return Table.of_matrix(numbers if self.bounds is None else np.clip(numbers, *self.bounds))


class Linear(Portable, frozen=True, tag=True):
    """A regression: `(k, outputs)` weights and what is added; of one output `is_single` says that it is given as `(n,)`."""

    weights: Array
    intercept: Array
    is_single: bool

    def values(self, matrix: Matrix) -> Array:
        """Return `(n,)` or `(n, outputs)` numbers; raises NotCompiled where some are missing or infinite."""
        found: Array = finite(matrix) @ self.weights + self.intercept
        return found[:, 0] if self.is_single else found


class Logistic(Portable, frozen=True, tag=True):
    """A classifier by logistic regression: one column of weights for two classes, else one a class."""

    weights: Array
    intercept: Array
    classes: Array

    def probabilities(self, matrix: Matrix) -> Array:
        """Return `(n, classes)` probabilities; raises NotCompiled where numbers are missing or infinite."""
        scores = finite(matrix) @ self.weights + self.intercept
        if self.weights.shape[1] > 1:
            return softmax(scores)
        found = np.empty((len(scores), 2))
        found[:, 1] = logistic(scores[:, 0])
        found[:, 0] = 1.0 - found[:, 1]
        return found

    def values(self, matrix: Matrix) -> Array:
        """Return `(n,)` classes; raises NotCompiled where numbers are missing or infinite."""
        scores = finite(matrix) @ self.weights + self.intercept
        chosen = (scores[:, 0] > 0).astype(np.intp) if scores.shape[1] == 1 else scores.argmax(axis=1)
        taken: Array = self.classes[chosen]
        return taken


def finite(matrix: Matrix) -> Matrix:
    """Return numbers that are all there.

    Raises:
        NotCompiled: some are missing or infinite.
    """
    if not np.isfinite(matrix).all():
        raise NotCompiled("numbers that are missing or infinite")
    return matrix


def logistic(scores: Numbers) -> Numbers:
    """Return 1 / (1 + exp(-score)), without overflow however far from 0.

    Example:
        >>> logistic(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    small = np.exp(-np.abs(scores))
    found: Numbers = np.where(scores >= 0, 1.0, small) / (1.0 + small)
    return found


def softmax(scores: Numbers) -> Numbers:
    """Return each row's exponentials as shares of their sum."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Numbers = powers / powers.sum(axis=1, keepdims=True)
    return found
