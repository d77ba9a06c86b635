"""What people hold their rows in (pandas, polars, numpy, lists, mappings) as columns or tensors of a few rows.

No pandas is imported: a frame of pandas is known by what it can do. What the model was given is remembered, since
it is called with the same kind where it is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, Literal

import numpy as np
import polars as pl

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.records.signature import DIMENSIONS_MAX
from penstock.records.zones import zone_called, zone_name

Array = np.ndarray[Any, Any]
_EMPTY: Mapping[str, type[pl.DataType]] = {
    **dict.fromkeys("iuf", pl.Float64),
    "b": pl.Boolean,
    "U": pl.String,
}
"""What a column of pandas is whose values are all missing, by the kind of its type."""
ROWS = "pass a frame of pandas or polars, a dict of columns or tensors, or an array with a row an entry"


@dataclass(frozen=True)
class Held:
    """Rows as they were given: a frame, or tensors by name; `kind` is what the model is called with.

    `categorical` names the columns whose text (or numbers) were of a closed set, `zones` the time zones of columns.
    """

    kind: Literal["polars", "pandas", "numpy"]
    frame: pl.DataFrame | None = None
    tensors: Mapping[str, Array] = field(default_factory=dict)
    categorical: frozenset[str] = frozenset()
    zones: Mapping[str, str] = field(default_factory=dict)


def hold_rows(rows: Any, names: Sequence[str] = ()) -> Held:
    """Return rows as a frame or as tensors.

    Args:
        rows: a frame of pandas or polars; a mapping of columns, or of arrays of more than one dimension; a list of
            mappings; an array of any rank with a row an entry, or lists that make one.
        names: what the columns of a matrix are called where the model knows; it is then a frame.

    Raises:
        Invalid: the rows are none of these.
    """
    if isinstance(rows, pl.LazyFrame):
        rows = rows.collect()
    if isinstance(rows, pl.DataFrame) or _is_pandas(rows):
        _check_names(rows)
    if isinstance(rows, pl.DataFrame):
        closed = (name for name, dtype in rows.schema.items() if dtype in (pl.Categorical, pl.Enum))
        return _of_polars(rows, frozenset(closed))
    if _is_pandas(rows):
        frame = pl.DataFrame([_pandas_column(str(name), rows[name]) for name in rows.columns])
        closed = (str(name) for name in rows.columns if str(rows[name].dtype) == "category")
        zones = {
            str(name): _zone(str(name), rows[name].dtype.tz) for name in rows.columns if _is_zoned(rows[name])
        }
        for name, dtype in frame.schema.items():
            if isinstance(dtype, pl.Datetime) and dtype.time_zone and name not in zones:
                raise _no_zone(name, "its values name one each, and the column none")
        return Held("pandas", frame, categorical=frozenset(closed), zones=zones)
    try:
        if isinstance(rows, Mapping):
            return _mapping(rows)
        if isinstance(rows, list) and rows and isinstance(rows[0], Mapping):
            return _of_polars(pl.DataFrame(rows))
        array = np.asarray(rows)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise _not_rows(f"{type(rows).__name__}: {error}") from None
    if array.ndim < 1 or not len(array) or not _is_wire(array):
        raise _not_rows(f"{type(rows).__name__} of shape {array.shape} and type {array.dtype}")
    if array.ndim == 2 and names:
        if len(names) != array.shape[1]:
            raise _not_rows(
                f"{counted(array.shape[1], 'column')}, and the model knows {counted(len(names), 'name')}"
            )
        return Held("polars", pl.DataFrame({str(name): array[:, i] for i, name in enumerate(names)}))
    return Held("numpy", tensors={"input-0": array})


def first_rows(rows: Any, count: int) -> Any:
    """Return the first rows, held as they were given."""
    if isinstance(rows, pl.LazyFrame):
        return rows.head(count).collect()
    if isinstance(rows, pl.DataFrame) or _is_pandas(rows):
        return rows.head(count)
    if isinstance(rows, Mapping):
        return {name: values if np.ndim(values) == 0 else values[:count] for name, values in rows.items()}
    return rows[:count] if hasattr(rows, "__getitem__") and not isinstance(rows, str) else rows


def _check_names(rows: Any) -> None:
    names = [str(name) for name in rows.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _not_rows(f"{', '.join(map(repr, twice))} names more than one column")
    if "" in names:
        raise nameless()


def nameless() -> Invalid:
    """Return the error for a column that has no name: no request could send it."""
    return Invalid(
        "a column has no name: its name is empty",
        code="registry.bad_inputs",
        hint="give it a name and fit the model again; a frame written with its index has such a column",
    )


def _is_pandas(rows: Any) -> bool:
    return hasattr(rows, "columns") and hasattr(rows, "iloc")


def _is_wire(array: Array) -> bool:
    if array.dtype.kind == "O":
        return all(isinstance(value, str) for value in array.flat)
    if array.ndim > DIMENSIONS_MAX:
        raise _not_rows(
            f"{counted(array.ndim, 'dimension')}, and a request has at most {DIMENSIONS_MAX}",
            "pass fewer: reshape the rows, and let the model shape them again",
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise _not_rows(f"numbers of type {array.dtype}", "cast them: .astype('float64')")
    return array.dtype.kind in "biufU"


def _mapping(rows: Mapping[Any, Any]) -> Held:
    arrays = {str(name): values for name, values in rows.items()}
    if any(np.ndim(values) > 1 for values in arrays.values()):
        tensors = {name: np.asarray(values) for name, values in arrays.items()}
        if not all(_is_wire(array) and array.ndim for array in tensors.values()):
            raise TypeError("a tensor holds numbers, booleans or text")
        return Held("numpy", tensors=tensors)
    if arrays and all(np.ndim(values) == 0 for values in arrays.values()):
        return _of_polars(pl.DataFrame({name: [value] for name, value in arrays.items()}))
    return _of_polars(pl.DataFrame(arrays))


def _of_polars(frame: pl.DataFrame, categorical: frozenset[str] = frozenset()) -> Held:
    zones = {}
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime) and dtype.time_zone:
            try:
                zones[name] = _zone(name, zone_called(dtype.time_zone))
            except (LookupError, ValueError, OSError):
                raise _no_zone(name, dtype.time_zone) from None
    return Held("polars", frame, categorical=categorical, zones=zones)


def _is_zoned(column: Any) -> bool:
    return getattr(column.dtype, "tz", None) is not None


def _zone(name: str, zone: tzinfo) -> str:
    found = zone_name(zone)
    if found is None:
        raise _no_zone(name, str(zone))
    return found


def _no_zone(name: str, what: str) -> Invalid:
    return Invalid(
        f"the time zone of column {name!r} cannot be kept: {what}",
        code="registry.bad_inputs",
        hint="give it a zone by name, as tz_convert('Europe/Berlin') does, or UTC, and fit the model on that",
    )


def _pandas_column(name: str, column: Any) -> pl.Series:
    """Return a column of pandas; what pandas calls missing is null, but NaN of a float column stays NaN."""
    if hasattr(column, "sparse"):
        column = column.sparse.to_dense()
    dtype = column.dtype
    kind = getattr(dtype, "kind", "O")
    if kind == "f" and dtype.itemsize > 8:
        raise _not_rows(f"column {name!r} of type {dtype}", "cast it: .astype('float64')")
    if kind in "biufM" and isinstance(dtype, np.dtype):
        values = column.to_numpy()
        return pl.Series(name, values.astype("datetime64[us]") if kind == "M" else values)
    if _is_zoned(column):
        naive = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")
        return pl.Series(name, naive).dt.replace_time_zone("UTC")
    missing = column.isna().to_numpy()
    values = [None if gone else _plain(value) for value, gone in zip(column.tolist(), missing, strict=True)]
    if all(value is None for value in values):
        return pl.Series(name, values, dtype=_EMPTY.get("U" if str(dtype).startswith("str") else kind))
    return pl.Series(name, values, strict=False)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _not_rows(what: str, hint: str = ROWS) -> Invalid:
    return Invalid(
        f"these are not rows of a model's inputs: {what}",
        code="registry.bad_inputs",
        hint=hint,
    )
