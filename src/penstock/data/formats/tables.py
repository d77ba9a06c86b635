"""Tables (Parquet or CSV) as frames, and frames as named arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penstock.base.errors import Invalid
from penstock.data.formats.columns import no_column
from penstock.data.formats.delimited import find_ragged, read_heading

Array = NDArray[Any]


def load_table(path: Path) -> pl.DataFrame:
    """Read a Parquet or CSV table.

    Raises:
        Invalid: it does not exist, cannot be read, or names a column twice.
    """
    try:
        if path.suffix == ".csv":
            read_heading(path)
        return pl.read_csv(path, infer_schema_length=None) if path.suffix == ".csv" else pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unreadable(path, error) from None


def column_names(path: Path) -> list[str]:
    """Return the columns of a Parquet or CSV table without reading its rows.

    Raises:
        Invalid: it does not exist, cannot be read, or names a column twice.
    """
    try:
        return read_heading(path) if path.suffix == ".csv" else pl.scan_parquet(path).collect_schema().names()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception, hint: str = "penstock pull, or penstock repro") -> Invalid:
    """Say that a table cannot be read, and why: of a CSV which row it is about, of no table a parser's options."""
    why = str(error).partition("\n")[0].strip()
    if path.suffix.lower() == ".csv" and isinstance(error, pl.exceptions.PolarsError):
        ragged = find_ragged(path)
        if ragged is not None:
            why = f"row {ragged[0]} {ragged[1]}"
            hint = f"give row {ragged[0]} a value for each column, in quotes where the value has a comma"
    return Invalid(
        f"table {path} cannot be read: {why}",
        code="data.bad_table",
        hint=hint,
        path=str(path),
    )


def to_columns(frame: pl.DataFrame, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return columns as arrays of length n_rows: text as objects, missing numbers as NaN.

    Raises:
        Invalid: the table has no such column.
    """
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise no_column(f"the table has no column {missing[0]!r}", missing[0], frame.columns)
    return {name: to_array(frame[name]) for name in names}


def to_array(column: pl.Series) -> Array:
    """Return a column as an array: text as objects, missing numbers as NaN."""
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        return np.array(column.cast(pl.String).to_list(), dtype=object)
    if column.null_count() and column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return column.to_numpy()
