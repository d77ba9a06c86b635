"""The roles of serving a model: its files, what is asked of it, and the predictor that answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.records.signature import Signature

Array = npt.NDArray[Any]
Columns = Mapping[str, Array]
Rows = Literal["polars", "pandas", "numpy"]
"""What a model is called with: frames of polars or pandas, or arrays."""


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A model version on the local disk.

    `options` is the flavour's mapping in the MLmodel file. `example` holds inputs of a few real rows; with it a
    model proves itself on them before it takes traffic. `rows` is what the model was given where it was saved.
    """

    path: Path
    name: str
    version: int
    digest: str
    flavour: str
    options: dict[str, Any]
    signature: Signature
    example: dict[str, list[Any]] | None = None
    rows: Rows = "polars"


class Predictor(Protocol):
    """A loaded model. Thread-safe; a call changes nothing, its columns neither.

    A classifier may have `classes`: all it knows, in its order, the last being what `probability` is of. A model that a
    request may give values for its own parameters has `parameters`: what checks a value, by name; it reads `Parametrised`.
    """

    @property
    def signature(self) -> Signature:
        """What it takes and gives, which may be more than its folder says, such as probabilities."""
        ...

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Return an array for every output of the signature, in its shape, one entry a row.

        Args:
            columns: `(row_count,)` arrays, or tensors in the signature's shapes, in its datatypes; text is `object`
                arrays of `str` or None. Inputs that are not required may be absent.

        Raises:
            Exception: whatever the model's own code raises.
        """
        ...


class Matrix(Mapping[str, Array]):
    """Columns of one type that lie side by side in one array `(row_count, len(names))`.

    A model that takes such an array is given it as it is; everyone else finds single columns. Who asks whether columns
    are a matrix compares the type: `isinstance` takes 1 us of those that are none, for a mapping is an abstract class.
    """

    __slots__ = ("_index", "names", "values_by_row")

    def __init__(self, names: tuple[str, ...], values_by_row: Array) -> None:
        self.names = names
        self.values_by_row = values_by_row
        self._index: dict[str, int] | None = None

    def __getitem__(self, name: str) -> Array:
        if self._index is None:
            self._index = {known: index for index, known in enumerate(self.names)}
        column: Array = self.values_by_row[:, self._index[name]]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Parametrised(dict[str, Array]):
    """Columns with values for parameters of the model itself, which hold for all of their rows.

    Args:
        params: as the model takes them.
        asked: as the request had them, of which JSON can be made.
    """

    __slots__ = ("asked", "params")

    def __init__(self, columns: Columns, params: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        super().__init__(columns)
        self.params = params
        self.asked = asked


def join_columns(parts: Sequence[Columns]) -> Columns:
    """Return the rows of several requests one after the other; all have the same columns.

    Cost: as many steps as columns, but one for requests that are all `Matrix`.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if type(first) is Matrix:
        names = first.names
        matrices = [
            part for part in parts if type(part) is Matrix and (part.names is names or part.names == names)
        ]
        if len(matrices) == len(parts):
            return Matrix(names, np.concatenate([part.values_by_row for part in matrices]))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in first}
    return Parametrised(joined, first.params, first.asked) if type(first) is Parametrised else joined


def size_bytes_of(columns: Columns) -> int:
    """Return how large inputs are; text counts as its references."""
    if type(columns) is Matrix:
        return columns.values_by_row.nbytes
    return sum(values.nbytes for values in columns.values())


def layout_of(columns: Columns) -> tuple[Any, ...]:
    """Return what the inputs of two requests must have in common for `join_columns`."""
    if type(columns) is Matrix:
        return (columns.names,)
    layout = tuple((name, values.shape[1:]) for name, values in columns.items())
    if type(columns) is Parametrised:
        return (*layout, msgspec.json.encode(columns.asked, order="deterministic"))
    return layout


def numpy_dtype(datatype: str) -> np.dtype[Any]:
    """Return the numpy type of an Open Inference datatype; text is `object`.

    Example:
        >>> numpy_dtype("FP32")
        dtype('float32')
    """
    return _DTYPES[datatype]


_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
} | {
    f"{kind}INT{bits}": np.dtype(f"{kind.lower()}int{bits}") for kind in ("", "U") for bits in (8, 16, 32, 64)
}
DATATYPE_OF_KIND: dict[str, Any] = {
    str(dtype): datatype for datatype, dtype in _DTYPES.items() if datatype != "BYTES"
}


def datatype_of(dtype: np.dtype[Any]) -> Any:
    """Return the Open Inference datatype of a numpy type; what is no number is text.

    Example:
        >>> datatype_of(np.dtype("int64")), datatype_of(np.dtype("<U3"))
        ('INT64', 'BYTES')
    """
    return DATATYPE_OF_KIND.get(str(dtype.newbyteorder("=")), "BYTES")
