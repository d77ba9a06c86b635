"""Plain values, as a user's own function takes and gives them, as the columns that are watched.

A mapping has a value or a list of values by column; a list of mappings has a row each; a list of lists is a
matrix, whose columns are named by the model where it knows as many; a list of values and a single value are one
column, or one row where the model has that many columns. Nothing is refused here: what is no number, text or
truth value is kept as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.records.classes import PREDICTION, PROBABILITY, is_probability
from penstock.serving.loaders.model import Array, Matrix

TEXT_MAX = 4096
"""Characters of a text that are kept."""
Rows = tuple[Mapping[str, Array], int]


def columns_of(value: Any, names: Sequence[str] = (), single: str = "input") -> Rows:
    """Return plain values as columns, and how many rows they are; 0 where there are none.

    Args:
        names: what the model calls its columns, in its order; empty where that is not known.
        single: what a column is called that has no name.

    Example:
        >>> columns_of({"hour": 7, "carrier": "AA"})[1], columns_of([[1, 2], [3, 4]], ("a", "b"))[0]["b"].tolist()
        (1, [2.0, 4.0])
    """
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if value is None:
        return {}, 0
    if not isinstance(value, list | tuple):
        return {single: _array([value])}, 1
    if not value:
        return {}, 0
    if all(isinstance(one, Mapping) for one in value):
        keys = dict.fromkeys(str(key) for one in value for key in one)
        by_text = [{str(key): item for key, item in one.items()} for one in value]
        return {key: _array([one.get(key) for one in by_text]) for key in keys}, len(value)
    if all(isinstance(one, list | tuple) for one in value):
        return _of_matrix(value, names, single)
    if len(names) == len(value) > 1:
        return {name: _array([one]) for name, one in zip(names, value, strict=True)}, 1
    return {single: _array(value)}, len(value)


def answers_of(value: Any, outputs: Mapping[str, str] | None = None) -> Rows:
    """Return what a function answered as columns, and how many rows they are.

    An answer without a name is the `prediction`; a fraction of a model that predicts classes is its
    `probability`, and of two numbers a row the second one is.

    Args:
        outputs: datatypes of the model's outputs by name; None where they are not known.

    Example:
        >>> list(answers_of(0.7)[0]), list(answers_of(0.7, {"prediction": "INT64"})[0]), list(answers_of("late")[0])
        (['prediction'], ['probability'], ['prediction'])
    """
    columns, count = columns_of(value, single=PREDICTION)
    if isinstance(value, Mapping) and count <= 1:
        columns = {**columns, **_answered_none(value)}
        count = count or min(1, len(columns))
    found = columns.get(PREDICTION)
    if isinstance(value, Mapping) or len(columns) != 1 or found is None or found.dtype.kind != "f":
        return columns, count
    datatype = (outputs or {}).get(PREDICTION)
    if datatype is None or datatype.startswith("FP"):
        return columns, count
    if found.ndim == 1:
        return {PROBABILITY: found}, count
    return (
        ({PROBABILITY: found[:, 1]}, count) if found.ndim == 2 and found.shape[1] == 2 else (columns, count)
    )


def fit_types(columns: Mapping[str, Array], datatypes: Mapping[str, str]) -> Mapping[str, Array]:
    """Return columns of the kind that the model takes: what is no number where it takes numbers is missing.

    Without that, one text in a column of numbers would make a text of every other value in its window.
    """
    if isinstance(columns, Matrix):
        return columns
    return {
        name: values
        if (values.dtype.kind == "O") == _is_text(datatypes.get(name), values)
        else _other(values)
        for name, values in columns.items()
    }


def fit_answers(columns: Mapping[str, Array], outputs: Mapping[str, str]) -> Mapping[str, Array]:
    """Return answers of the kind that the model gives: what is no number where it gives numbers is missing.

    Classes that are numbers stay what they are, and one that is no number is None.
    """
    if isinstance(columns, Matrix):
        return columns
    return {name: _fit_answer(name, outputs.get(name, ""), values) for name, values in columns.items()}


def _fit_answer(name: str, datatype: str, values: Array) -> Array:
    if values.dtype.kind != "O" or datatype in {"BYTES", "BOOL"}:
        return values
    if datatype.startswith("FP") or is_probability(name):
        return _other(values)
    if not datatype:
        return values
    classes = np.empty(len(values), dtype=object)
    classes[:] = [None if np.isnan(_as_number(one)) else one for one in values.tolist()]
    return classes


def _answered_none(value: Mapping[Any, Any]) -> dict[str, Array]:
    """Return the answers of one row that are None, and so none; a probability beside a prediction may be."""
    is_answered = value.get(PREDICTION) is not None
    return {
        str(name): np.array([None], dtype=object)
        for name, one in value.items()
        if one is None and (name == PREDICTION or (is_probability(str(name)) and not is_answered))
    }


def _is_text(datatype: str | None, values: Array) -> bool:
    return values.dtype.kind == "O" if datatype is None else datatype == "BYTES"


def _other(values: Array) -> Array:
    if values.dtype.kind != "O":
        return _array([str(one) for one in values.tolist()])
    return np.array([_as_number(one) for one in values.tolist()])


def _as_number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def fit_rows(rows: Rows, row_count: int) -> Mapping[str, Array]:
    """Return columns as those of `row_count` rows; several values for one row are one tensor, others are left out.

    Columns of no rows say nothing, and are left out too.
    """
    columns, count = rows
    if not count:
        return {}
    if count == row_count or not columns:
        return columns
    if row_count == 1:
        return {name: _joined(values) for name, values in columns.items()}
    return {}


def _of_mapping(value: Mapping[Any, Any]) -> Rows:
    kinds = set(map(type, value.values()))
    if not kinds <= _SIMPLE:
        flat = [pair for key, one in value.items() for pair in _flat(str(key), one)]
        if any(isinstance(one, list | tuple) for _, one in flat):
            return _of_lists(flat)
        return _row(flat), 1
    if kinds == {float}:  # as one matrix, which is summed up a hundred times faster
        return Matrix(tuple(map(str, value)), np.array([list(value.values())])), 1
    return _row([(str(key), one) for key, one in value.items()]), 1 if value else 0


def _of_lists(items: Sequence[tuple[str, Any]]) -> Rows:
    lengths = {len(one) if isinstance(one, list | tuple) else -1 for _, one in items}
    if len(lengths) == 1:
        return {name: _array(one) for name, one in items}, lengths.pop()
    # values beside lists are one row, of which a list is one vector
    vectors = {name: _array(one)[None] for name, one in items if isinstance(one, list | tuple)}
    return {**_row([pair for pair in items if pair[0] not in vectors]), **vectors}, 1


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [pair for key, one in value.items() for pair in _flat(f"{name}.{key}", one)]
    return [(name, value)]


def _row(items: Sequence[tuple[str, Any]]) -> dict[str, Array]:
    """Return one row; a value that is missing is absent, so that it says nothing of its column's type."""
    return {name: _array([one]) for name, one in items if one is not None}


def _of_matrix(value: Sequence[Any], names: Sequence[str], single: str) -> Rows:
    matrix = _array(value)
    if matrix.ndim == 2 and matrix.shape[1] == len(names) and matrix.dtype.kind == "f":
        return Matrix(tuple(names), matrix), len(matrix)
    if matrix.ndim == 2 and matrix.shape[1] == len(names):
        return {name: matrix[:, index] for index, name in enumerate(names)}, len(matrix)
    if matrix.ndim == 1 and {len(one) for one in value} == {len(names)}:
        columns = zip(*value, strict=True)
        return {name: _array(list(one)) for name, one in zip(names, columns, strict=True)}, len(value)
    return {single: matrix}, len(value)


def _array(values: Sequence[Any]) -> Array:
    """Return values as numbers where they are, truth values where all are, else as text; None is missing."""
    kinds = set(map(type, values))
    if kinds in ({float}, {bool}):
        return np.array(values)
    if kinds <= _NUMBERS and kinds & {float, int}:
        if kinds == {int} and all(-LARGEST <= one <= LARGEST for one in values):
            return np.array(values, dtype=np.int64)
        return np.array([np.nan if one is None else _number(one) for one in values])
    if kinds <= {list, tuple}:
        return _tensor(values)
    texts = np.empty(len(values), dtype=object)
    texts[:] = [one if one is None or isinstance(one, bool) else _text(one) for one in values]
    return texts


_SIMPLE = {int, float, bool, str, type(None)}
_NUMBERS = {int, float, bool, type(None)}
LARGEST = 2**63 - 1


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf


def _tensor(values: Sequence[Any]) -> Array:
    try:
        tensor = np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        texts = np.empty(len(values), dtype=object)
        texts[:] = [_text(one) for one in values]
        return texts
    return tensor


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else str(value))[:TEXT_MAX]


def _joined(values: Array) -> Array:
    if values.dtype.kind == "O":
        text = np.empty(1, dtype=object)
        text[0] = "".join("" if one is None else str(one) for one in values.ravel())[:TEXT_MAX]
        return text
    return values.reshape(1, -1)
