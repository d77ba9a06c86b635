"""What a model answered, as arrays in the shapes and datatypes of its signature.

A value is given as it is, in a type that holds it: nothing is rounded to a whole number, made text, or made up for what
is missing. Numbers with a fraction are given in the precision that the signature names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from penstock.base.numbers import counted
from penstock.records.signature import VECTOR, Column
from penstock.serving.loaders.model import Array, numpy_dtype

_TEXT = frozenset({str, type(None)})
_TRUTH = (bool, np.bool_)
_NUMBER = (int, float, np.integer, np.floating)
_AS_TEXT = (str, bytes, date, time, Decimal, UUID)
_MISSING = frozenset({"NAType", "NaTType"})
"""Types of pandas for what is missing, which is not imported for them."""
SHOWN = 64
"""Characters of a value that an error shows."""


def fit_output(values: Any, column: Column, row_count: int) -> Array:
    """Return a model's answer in the shape and datatype of an output.

    Raises:
        ValueError: it is nothing, of another number of rows, of complex numbers, or holds a value that the datatype has
            no word for.
    """
    array = values if type(values) is np.ndarray else as_array(values)
    if array.ndim == 0 and array.dtype.kind == "O" and array.item() is None:
        raise ValueError(f"the model gave None for {column.name!r}, not {counted(row_count, 'value')}")
    if column.shape == VECTOR:
        if array.size != row_count:
            raise ValueError(
                f"the model gave {counted(array.size, 'value')} for {column.name!r}, not {row_count}"
            )
        array = array.reshape(row_count)
    return as_datatype(array, column)


def as_datatype(array: Array, column: Column) -> Array:
    """Return values in the datatype of a column; those that are of it already at once.

    Raises:
        ValueError: a value does not fit into it.
    """
    target = numpy_dtype(column.datatype)
    if array.dtype == target and target.kind != "O":
        return array
    if target.kind != "O" and _is_wider(target, array.dtype):
        return array.astype(target)
    if array.dtype.kind == "c":
        raise ValueError(
            f"the model gave complex numbers for {column.name!r}: give their real and imaginary parts apart"
        )
    if target.kind == "O":
        return _texts(array, column)
    if array.dtype.kind == "O":
        array = _of_objects(array)
    if array.dtype.kind == "O" and target.kind == "f" and all(value is None for value in array.flat):
        return np.full(array.shape, np.nan, dtype=target)
    if array.dtype.kind not in "biuf":
        strange = (value for value in array.flat if not isinstance(value, (*_TRUTH, *_NUMBER)))
        raise _misfit(column, next(strange, array.flat[0] if array.size else None))
    with np.errstate(all="ignore"):
        made = array.astype(target)
        is_lost = ~_is_kept(array, made)
    if is_lost.any():
        raise _misfit(column, array[is_lost][0].item())
    return made


def _is_wider(target: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    """Whether a type holds every number of another; of 64 bits FP64 does not, whatever numpy calls safe."""
    if dtype.kind in "iu" and target.kind == "f" and dtype.itemsize >= target.itemsize:
        return False
    return dtype.kind in "biuf" and np.can_cast(dtype, target, "safe")


def fits(array: Array, column: Column) -> bool:
    """Whether the datatype of a column holds values."""
    try:
        as_datatype(array, column)
    except ValueError:
        return False
    return True


def as_array(values: Any) -> Array:
    """Return what a model gave for an output as an array: of one type where its values have one, else of objects.

    numpy would make text of numbers that stand beside text. Booleans with missing ones are 1, 0 and NaN, as in inputs.

    Example:
        >>> as_array([1, None]).tolist(), as_array(["a", 1]).tolist()
        ([1.0, nan], ['a', 1])
    """
    if isinstance(values, np.ma.MaskedArray):
        values = values.tolist()
    array: Array = np.asarray(values)
    if array.dtype.kind in "US" and isinstance(values, list | tuple):
        objects = np.asarray(values, dtype=object)
        if not {type(value) for value in objects.flat} <= {str, bytes, np.str_, np.bytes_}:
            return objects
    return _of_objects(array) if array.dtype.kind == "O" and array.ndim else array


def _of_objects(array: Array) -> Array:
    if set(map(type, array.flat)) <= _TEXT:
        return array
    values = [None if _is_missing(value) else value for value in array.flat]
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, _TRUTH) for value in present):
        return _numbers(values, bool if len(present) == len(values) else float).reshape(array.shape)
    if present and all(isinstance(value, _NUMBER) for value in present):
        is_whole = len(present) == len(values) and all(isinstance(one, int | np.integer) for one in present)
        found = np.array(present) if is_whole else _numbers(values, float)
        if found.dtype.kind in "biu" or not is_whole:
            return found.reshape(array.shape)
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made.reshape(array.shape)


def _numbers(values: Sequence[Any], kind: type) -> Array:
    return np.array([np.nan if value is None else value for value in values], dtype=kind)


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in _MISSING:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _is_kept(array: Array, made: Array) -> Array:
    """Return for each number whether it is the same in another type; of one with a fraction, whether it is in range."""
    kind, wanted = array.dtype.kind, made.dtype
    kept: Array
    if kind == "b":
        kept = np.ones(array.shape, dtype=bool)
    elif wanted.kind == "b":
        kept = (array == 0) | (array == 1)
    elif wanted.kind == "f" and kind == "f":
        kept = np.isfinite(made) | ~np.isfinite(array)
    elif wanted.kind == "f":
        exact = 2 ** (np.finfo(wanted).nmant + 1)
        kept = (array <= exact) & (array >= (-exact if kind == "i" else 0))
    else:
        limits = np.iinfo(wanted)
        numbers = array.astype(np.float64) if kind == "f" else array
        kept = (numbers >= limits.min) & (numbers < limits.max + 1) & (made == numbers)
    return kept


def _texts(array: Array, column: Column) -> Array:
    kind = array.dtype.kind
    if kind == "U":
        return array.astype(object)
    if kind == "O" and set(map(type, array.flat)) <= _TEXT:
        return array
    if kind == "M" and np.datetime_data(array.dtype)[0] not in {"Y", "M", "W", "D"}:
        array = array.astype("datetime64[us]")
    made = np.empty(array.size, dtype=object)
    made[:] = [_text(value, column) for value in array.ravel().astype(object)]
    return made.reshape(array.shape)


def _text(value: Any, column: Column) -> str | None:
    if isinstance(value, str):
        return value
    if _is_missing(value):
        return None
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise _misfit(column, value)


def check_wire(name: str, array: Array) -> None:
    """Raise ValueError where values of an output are neither numbers nor text, dates and times."""
    if array.dtype.kind in "biufcUSM" or not array.ndim:
        return
    try:
        _texts(array, Column(name, "BYTES"))
    except ValueError:
        found = next(
            value for value in array.flat if not isinstance(value, _AS_TEXT) and not _is_missing(value)
        )
        raise ValueError(
            f"the model gave {type(found).__name__} for {name!r}, which has no counterpart on the wire: let it give "
            "numbers, text, a table, or a mapping with an entry for each output"
        ) from None


def _misfit(column: Column, value: Any) -> ValueError:
    shown = "a missing value" if _is_missing(value) else repr(value)[:SHOWN]
    return ValueError(
        f"the model gave {shown} for {column.name!r}, which is {column.datatype} in its signature and holds no such "
        "value; save it again with rows (inputs=) for which it gives one, or let it give the same type for all rows"
    )


def as_answer(given: Any) -> dict[str, Array]:
    """Return what a function returned by output: a mapping's entries, the columns of a frame or of a list of mappings,
    or `prediction`.

    Raises:
        ValueError: it is a list of mappings with different keys.
    """
    if isinstance(given, Mapping):
        return {str(name): as_array(values) for name, values in given.items()}
    if hasattr(given, "columns") and hasattr(given, "to_numpy"):
        return {str(name): as_array(given[name].to_numpy()) for name in given.columns}
    if isinstance(given, list | tuple) and given and isinstance(given[0], Mapping):
        return _of_records(given)
    return {"prediction": as_array(given)}


def _of_records(rows: Iterable[Any]) -> dict[str, Array]:
    records = list(rows)
    names = list(records[0])
    for number, row in enumerate(records):
        if not isinstance(row, Mapping) or set(row) != set(names):
            has = (
                f"has {', '.join(map(str, row))}" if isinstance(row, Mapping) else f"is {type(row).__name__}"
            )
            raise ValueError(
                f"the model gave a list of mappings that differ: row {number} {has[:SHOWN]}, the first has "
                f"{', '.join(map(str, names))}; give every row the same keys, None where a value is missing"
            )
    return {str(name): as_array([row[name] for row in records]) for name in names}
