"""An estimator as functions of tables, whatever it was compiled from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.serving.loaders.compiled.linear import Linear, Logistic, Scaled, Stretched
from penstock.serving.loaders.compiled.portable import Portable
from penstock.serving.loaders.compiled.table import Array, Matrix, NotCompiled, Table

Step = Callable[[Table], Table]


class Numbers(Portable, frozen=True):
    """A linear model behind steps that answer all finite numbers: what another process needs to answer in its place."""

    steps: tuple[Scaled | Stretched, ...]
    end: Linear | Logistic


@dataclass(frozen=True)
class CompiledEstimator:
    """`predict` and `predict_proba` of a table.

    Both raise `NotCompiled` on rows that are the library's to answer or to refuse. `numbers` are all there is to it
    where there is nothing else, and then only numbers that are missing or infinite are such.
    """

    classes: Array | None
    _steps: tuple[Step, ...]
    _probabilities: Callable[[Matrix], Array] | None
    _values: Callable[[Matrix], Array]
    numbers: Numbers | None = None

    def predict_proba(self, table: Table) -> Array:
        """Return `(n, classes)` probabilities.

        Raises:
            NotCompiled: the estimator has none, or the rows are the library's.
        """
        if self._probabilities is None:
            raise NotCompiled("no probabilities")
        return self._probabilities(self._matrix(table))

    def predict(self, table: Table) -> Array:
        """Return `(n,)` classes or numbers.

        Raises:
            NotCompiled: the rows are the library's.
        """
        return self._values(self._matrix(table))

    def _matrix(self, table: Table) -> Matrix:
        for step in self._steps:
            table = step(table)
        return table.numbers()


def of_linear(end: Linear | Logistic, steps: tuple[Step, ...]) -> CompiledEstimator:
    """Return a linear model behind steps as functions."""
    plain = tuple(step for step in steps if isinstance(step, Scaled | Stretched))
    numbers = Numbers(plain, end) if len(plain) == len(steps) else None
    if isinstance(end, Linear):
        return CompiledEstimator(None, steps, None, end.values, numbers)
    return CompiledEstimator(end.classes, steps, end.probabilities, end.values, numbers)
