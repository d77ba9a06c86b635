"""A table on its way through compiled steps: columns as they came, or one matrix of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float64]


class NotCompiled(Exception):
    """These rows, or this estimator, are the library's to handle; the message says why."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of named places: `(row_count,)` columns, text as objects, or a `(row_count, k)` matrix of numbers."""

    columns: Sequence[Array] | None
    matrix: Matrix | None
    row_count: int

    @classmethod
    def of_columns(cls, columns: Sequence[Array], row_count: int) -> Table:
        """Take columns as they came."""
        return cls(columns, None, row_count)

    @classmethod
    def of_matrix(cls, matrix: Matrix) -> Table:
        """Take numbers."""
        return cls(None, matrix, len(matrix))

    @property
    def width(self) -> int:
        """How many columns there are."""
        if self.columns is not None:
            return len(self.columns)
        return 0 if self.matrix is None else self.matrix.shape[1]

    def numbers(self) -> Matrix:
        """Return all columns as one matrix.

        Raises:
            NotCompiled: a column is text.
        """
        if self.matrix is not None:
            return self.matrix
        found = np.empty((self.row_count, self.width))
        for index, column in enumerate(self.columns or ()):
            if column.dtype.kind not in "bifu":
                raise NotCompiled("text where numbers are taken")
            found[:, index] = column
        return found

    def column(self, index: int) -> Array:
        """Return one column."""
        if self.columns is not None:
            return self.columns[index]
        if self.matrix is None:
            raise NotCompiled("a table without columns")
        return self.matrix[:, index]

    def select(self, indices: Sequence[int]) -> Table:
        """Return some columns, in the order given."""
        if self.matrix is not None:
            return Table.of_matrix(self.matrix[:, list(indices)])
        return Table.of_columns([self.column(index) for index in indices], self.row_count)
