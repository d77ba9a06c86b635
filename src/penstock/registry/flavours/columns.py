"""The inputs of a signature, inferred from some rows, and the same rows as the wire would bring them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import polars as pl

from penstock.base.errors import Invalid
from penstock.records.signature import Column, Datatype, Meaning
from penstock.records.zones import zone_called
from penstock.registry.flavours.frames import Array, Held, nameless

_KINDS: dict[str, Datatype] = {"b": "BOOL", "U": "BYTES", "O": "BYTES"}


def input_columns(held: Held, optional: set[str]) -> tuple[Column, ...]:
    """Return what a model takes, given some rows.

    NaN is a missing value as null is. A tensor of numbers with NaN is not required to have every value. Numbers, booleans and text with missing values are optional. Whole numbers with missing values are FP64, as
    are booleans (1, 0 and NaN), since the wire has no word for a missing one.

    Raises:
        Invalid: `optional` names no column, or a column's type has no counterpart on the wire.
    """
    if "" in (held.tensors if held.frame is None else held.frame.columns):
        raise nameless()
    if held.frame is None:
        unknown = optional - set(held.tensors)
        if unknown:
            raise _unknown(sorted(unknown)[0], held.tensors)
        return tuple(_tensor(name, array, name in optional) for name, array in held.tensors.items())
    unknown = optional - set(held.frame.columns)
    if unknown:
        raise _unknown(sorted(unknown)[0], held.frame.schema)
    return tuple(
        msgspec.structs.replace(
            _column(series, series.name in optional, series.name in held.categorical),
            zone=held.zones.get(series.name, ""),
        )
        for series in held.frame
    )


def _unknown(name: str, known: Mapping[str, Any]) -> Invalid:
    return Invalid(
        f"no column is called {name!r}", code="registry.bad_signature", hint=f"columns: {', '.join(known)}"
    )


def _tensor(name: str, array: Array, is_named: bool) -> Column:
    datatype: Any = _KINDS.get(array.dtype.kind)
    if datatype is None:
        kind = {"i": "INT", "u": "UINT", "f": "FP"}[array.dtype.kind]
        datatype = f"{kind}{array.dtype.itemsize * 8}"
    is_float = array.dtype.kind == "f"
    if is_named and not is_float and datatype != "BYTES":
        raise Invalid(
            f"tensor {name!r} is of {datatype}, which has no word for a missing value",
            code="registry.bad_signature",
            hint=f"pass it as numbers with a fraction: {name}.astype(float)",
        )
    has_missing = is_named or (is_float and bool(np.isnan(array).any()))
    return Column(name, datatype, not has_missing, shape=(-1, *array.shape[1:]))


def _column(series: pl.Series, is_named: bool, is_closed: bool) -> Column:
    datatype, meaning = _datatype(series)
    is_optional = is_named or _has_missing(series)
    if is_optional and (datatype.startswith(("INT", "UINT")) or datatype == "FP32"):
        datatype = "FP64"
    if is_optional and datatype == "BOOL":
        datatype, meaning = "FP64", "boolean"
    return Column(series.name, datatype, not is_optional, meaning="categorical" if is_closed else meaning)


def _has_missing(series: pl.Series) -> bool:
    return series.null_count() > 0 or (series.dtype.is_float() and bool(series.is_nan().any()))


def _datatype(series: pl.Series) -> tuple[Datatype, Meaning]:
    dtype = series.dtype
    if dtype.is_integer():
        if series.cast(pl.Int64, strict=False).null_count() > series.null_count():
            raise Invalid(
                f"column {series.name!r} holds a number of more than 63 bits, which INT64 does not hold",
                code="registry.bad_signature",
                hint="cast it to Float64, or to text where it is a key",
            )
        return "INT64", ""
    if dtype == pl.Float32:
        return "FP32", ""
    if dtype.is_float():
        return "FP64", ""
    if dtype == pl.Boolean:
        return "BOOL", ""
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "BYTES", ""
    if dtype == pl.Date:
        return "BYTES", "date"
    if dtype == pl.Datetime:
        return "BYTES", "datetime"
    what = f"of type {dtype}"
    if dtype == pl.Object:
        what = f"of {next(type(value).__name__ for value in series if value is not None)} objects"
    raise Invalid(
        f"column {series.name!r} {what} has no counterpart on the wire",
        code="registry.bad_signature",
        hint="cast it to Float64" if dtype.is_decimal() else "cast it to text or a number",
    )


def example_of(held: Held, columns: tuple[Column, ...]) -> dict[str, list[Any]]:
    """Return the rows as a request would carry them: lists of text, numbers or None by input."""
    if held.frame is None:
        return {name: array.tolist() for name, array in held.tensors.items()}
    return {column.name: _values(held.frame[column.name], column) for column in columns}


def _values(series: pl.Series, column: Column) -> list[Any]:
    if column.zone:
        zone = zone_called(column.zone)
        times = (None if one is None else one.astimezone(zone) for one in series.to_list())
        return [None if one is None else one.isoformat(timespec="microseconds") for one in times]
    if column.meaning in {"date", "datetime"}:
        pattern = "%Y-%m-%d" if column.meaning == "date" else "%Y-%m-%dT%H:%M:%S%.6f"
        return series.dt.strftime(pattern).to_list()
    if column.datatype == "FP64":
        values = series.cast(pl.Float64).to_list()
        return [None if value is not None and np.isnan(value) else value for value in values]
    if column.datatype == "BYTES":
        return series.cast(pl.String).to_list()
    return series.to_list()
