"""The rows of a table as what a model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.data.formats.tables import to_columns
from penstock.records.signature import Column, Signature
from penstock.serving.loaders.model import Array, numpy_dtype


def table_inputs(signature: Signature, frame: pl.DataFrame, label: str | None = None) -> dict[str, Array]:
    """Return a table's rows as a model's inputs, in the datatypes of its signature.

    Optional columns that the table lacks are left out. A single matrix `[-1, k]` is made of all columns but the label.

    Raises:
        Invalid: the table lacks a column, or has as many numeric columns as no input of the model.
    """
    inputs = signature.inputs
    if len(inputs) == 1 and inputs[0].is_tensor:
        return {inputs[0].name: _matrix(inputs[0], frame.drop(label) if label in frame.columns else frame)}
    wanted = [column for column in inputs if column.must_be_sent or column.name in frame.columns]
    plain = to_columns(frame, [column.name for column in wanted])
    return {column.name: _typed(column, frame, plain[column.name]) for column in wanted}


def _matrix(column: Column, frame: pl.DataFrame) -> Array:
    width = column.shape[1] if len(column.shape) == 2 else 0
    if not width or width not in (frame.width, -1) or not all(kind.is_numeric() for kind in frame.dtypes):
        raise no_matrix(column, frame.width)
    return frame.to_numpy().astype(numpy_dtype(column.datatype))


def no_matrix(column: Column, width: int) -> Invalid:
    """Make the error for a table that is not as wide as the matrix that a model takes."""
    return Invalid(
        f"the model takes {column.name!r} of the shape {list(column.shape)}, and the table has {counted(width, 'column')} "
        "beside the label",
        code="data.no_column",
        hint="save the model with a frame, so that its columns have names",
    )


def time_texts(column: Column, series: pl.Series) -> pl.Series:
    """Return dates or times as the text that an input takes, with their offset where they have a zone.

    Raises:
        Invalid: they are times of a day, or durations (`data.no_times`).
    """
    if series.dtype not in (pl.Date, pl.Datetime):
        raise Invalid(
            f"column {column.name!r} holds {series.dtype}, and the model takes a {column.meaning}",
            code="data.no_times",
            hint=f"write {column.name!r} as dates, or dates with times, into the table",
            column=column.name,
        )
    if column.meaning == "date":
        return series.dt.strftime("%Y-%m-%d")
    if series.dtype == pl.Date:
        series = series.cast(pl.Datetime)
    has_zone = isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None
    return series.dt.strftime(f"%Y-%m-%dT%H:%M:%S%.6f{'%:z' if has_zone else ''}")


def _typed(column: Column, frame: pl.DataFrame, values: Array) -> Array:
    if column.meaning == "boolean":
        found: Any = frame[column.name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return np.asarray(found)
    if column.meaning in {"date", "datetime"} and frame[column.name].dtype.is_temporal():
        return np.array(time_texts(column, frame[column.name]).to_list(), dtype=object)
    return values
