"""What people hold their rows in (pandas, polars, numpy, lists, mappings) as one polars frame.

No pandas is imported: a frame of pandas is known by what it can do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from penstock.base.errors import Invalid


def as_frame(rows: Any, names: Sequence[str] = ()) -> pl.DataFrame:
    """Return rows as a polars frame; a polars frame is returned as it is.

    Args:
        rows: a frame of pandas or polars, a mapping of columns, a list of mappings, or an array `(n_rows,
            n_features)` of numbers.
        names: what the columns of an array are called; `x0`, `x1`, … by default.

    Raises:
        Invalid: the rows are none of these.
    """
    if isinstance(rows, pl.DataFrame):
        return rows
    if isinstance(rows, pl.LazyFrame):
        return rows.collect()
    if hasattr(rows, "columns") and hasattr(rows, "iloc"):
        return pl.DataFrame([_pandas_column(str(name), rows[name]) for name in rows.columns])
    try:
        if isinstance(rows, Mapping) or (isinstance(rows, list) and rows and isinstance(rows[0], Mapping)):
            return pl.DataFrame(rows)
        array = np.asarray(rows)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise _not_rows(f"{type(rows).__name__}: {error}") from None
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise _not_rows(f"{type(rows).__name__} of shape {array.shape} and type {array.dtype}")
    chosen = [str(name) for name in names] or [f"x{index}" for index in range(array.shape[1])]
    if len(chosen) != array.shape[1]:
        raise _not_rows(f"{array.shape[1]} columns, and the model knows {len(chosen)} names")
    return pl.DataFrame({name: array[:, index] for index, name in enumerate(chosen)})


def _pandas_column(name: str, column: Any) -> pl.Series:
    """Return a column of pandas; what pandas calls missing is null, but NaN of a float column stays NaN."""
    dtype = column.dtype
    if getattr(dtype, "kind", "O") in "biuf" and isinstance(dtype, np.dtype):
        return pl.Series(name, column.to_numpy())
    missing = column.isna().to_numpy()
    values = [None if gone else _plain(value) for value, gone in zip(column.tolist(), missing, strict=True)]
    return pl.Series(name, values, strict=False)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _not_rows(what: str) -> Invalid:
    return Invalid(
        f"these are not rows of named columns: {what}",
        code="registry.bad_inputs",
        hint="pass a frame of pandas or polars, a dict of columns, or an array of numbers (rows, features)",
    )
