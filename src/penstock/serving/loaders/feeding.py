"""What a model is called with, made from the columns of a request: a frame, a matrix, an array or several.

Which of them it is was fixed when the model was saved. polars and pandas are imported with the first model that wants
them: 20 and 30 MB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from penstock.base.errors import Invalid
from penstock.records.flavours import IMPORTS
from penstock.records.signature import Column, Signature
from penstock.serving.loaders.model import Array, Columns, Matrix, Rows
from penstock.serving.loaders.times import as_times, zones_of

Feed = Callable[[Columns, int], Any]
UNKNOWN_CATEGORY = "serving.unknown_category"
"""A request's fault, found by the model: it holds a category that the model was not trained with."""
_CATEGORY_WORDS = re.compile(
    r"Found a category not in the training set for the \d+\w\w \(0-based\) column: `(?P<one>.*?)`"
    r"|Found unknown categories \[(?P<many>.*?)\] in column \d+ during transform",
    re.DOTALL,
)
"""How XGBoost 3 (`data/cat_container.h`) and scikit-learn 1 (`preprocessing/_encoders.py`) say it."""
_NUMBER = re.compile(r"(?<![\w.'])-?\d+(?:\.\d*)?(?![\w'])")
_POLARS = {
    "BOOL": "Boolean",
    "FP16": "Float32",
    "FP32": "Float32",
    "FP64": "Float64",
    "BYTES": "String",
    **{f"INT{bits}": f"Int{bits}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"UInt{bits}" for bits in (8, 16, 32, 64)},
}


def make_feed(
    signature: Signature,
    rows: Rows,
    *,
    as_matrix: bool = False,
    order: Sequence[str] | None = None,
    copies: bool = False,
) -> Feed:
    """Return what turns a request's columns into what the model takes.

    Args:
        as_matrix: numeric columns are given as one array.
        order: the names in the model's order, where it knows them.
        copies: whether the model may write to what it is given; the columns stay as they are.
    """
    inputs = signature.inputs
    if any(column.is_tensor for column in inputs) or (rows == "numpy" and len(inputs) == 1):
        return _single(inputs[0], copies=copies) if len(inputs) == 1 else _arrays(inputs, copies=copies)
    known = {column.name: column for column in inputs}
    if order is not None and set(order) == set(known):
        inputs = tuple(known[name] for name in order)
    if as_matrix and is_numeric(inputs):
        return _MatrixFeed(inputs, copies=copies)
    if rows == "pandas":
        return _PandasFeed(inputs, copies=copies)
    return _PolarsFeed(inputs)


def is_numeric(inputs: Sequence[Column]) -> bool:
    """Whether all columns can lie in one array of numbers."""
    return all(column.datatype != "BYTES" and column.meaning in {"", "boolean"} for column in inputs)


def _library(name: str) -> Any:
    with IMPORTS.held():
        return import_module(name)


def _single(column: Column, *, copies: bool) -> Feed:
    name = column.name
    if copies:
        return lambda columns, _: columns[name].copy()
    return lambda columns, _: columns[name]


def _arrays(inputs: Sequence[Column], *, copies: bool) -> Feed:
    def feed(columns: Columns, row_count: int) -> dict[str, Array]:
        absent = (
            column for column in inputs if column.name not in columns
        )  # of one dimension: tensors are sent
        given = {name: values.copy() for name, values in columns.items()} if copies else columns
        return {**{column.name: _absent(column, row_count) for column in absent}, **given}

    return feed


def _absent(column: Column, row_count: int) -> Array:
    if column.datatype == "BYTES":
        return np.full(row_count, None, dtype=object)
    return np.full(row_count, np.nan)


class _MatrixFeed:
    def __init__(self, inputs: tuple[Column, ...], *, copies: bool) -> None:
        self._copies = copies
        self._names = tuple(column.name for column in inputs)
        is_single = all(column.datatype in {"FP32", "FP16"} for column in inputs)
        self._dtype = np.float32 if is_single else np.float64

    def __call__(self, columns: Columns, row_count: int) -> Array:
        if type(columns) is Matrix and columns.names == self._names:
            return columns.values_by_row.copy() if self._copies else columns.values_by_row
        matrix = np.empty((row_count, len(self._names)), dtype=self._dtype)
        for index, name in enumerate(self._names):
            values = columns.get(name)
            matrix[:, index] = np.nan if values is None else values
        return matrix


class _PolarsFeed:
    def __init__(self, inputs: tuple[Column, ...]) -> None:
        self._inputs = inputs
        self._names = tuple(column.name for column in inputs)
        zones_of(inputs)
        self._polars = _library("polars")

    def __call__(self, columns: Columns, row_count: int) -> Any:
        if type(columns) is Matrix and columns.names == self._names:
            return self._polars.DataFrame(columns.values_by_row, schema=list(self._names), orient="row")
        return self._polars.DataFrame([self._series(column, columns, row_count) for column in self._inputs])

    def _series(self, column: Column, columns: Columns, row_count: int) -> Any:
        pl = self._polars
        values = columns.get(column.name)
        if values is None:
            values = _absent(column, row_count)
        dtype = pl.Float64 if values.dtype.kind == "f" and values.dtype.itemsize == 8 else None
        plain = values.tolist() if values.dtype.kind == "O" else values
        series = pl.Series(column.name, plain, dtype=dtype or getattr(pl, _POLARS[column.datatype]))
        if not column.meaning:
            return series
        if column.meaning == "categorical":
            return series.cast(pl.Categorical)
        if column.meaning == "boolean":
            return series.fill_nan(None).cast(pl.Boolean)
        times = pl.Series(column.name, as_times(values))
        if column.zone:
            return times.dt.replace_time_zone("UTC").dt.convert_time_zone(column.zone)
        return times.cast(pl.Date) if column.meaning == "date" else times


class _PandasFeed:
    def __init__(self, inputs: tuple[Column, ...], *, copies: bool) -> None:
        self._copies = copies
        self._inputs = inputs
        self._names = tuple(column.name for column in inputs)
        self._zones = zones_of(inputs)
        self._pandas = _library("pandas")
        self._text = self._pandas.Series(["a"]).dtype

    def __call__(self, columns: Columns, row_count: int) -> Any:
        if type(columns) is Matrix and columns.names == self._names:
            names = list(self._names)
            return self._pandas.DataFrame(columns.values_by_row, columns=names, copy=self._copies)
        return self._pandas.DataFrame(
            {column.name: self._series(column, columns, row_count) for column in self._inputs}
        )

    def _series(self, column: Column, columns: Columns, row_count: int) -> Any:
        values = columns.get(column.name)
        if values is None:
            values = _absent(column, row_count)
        if column.meaning == "categorical":
            return self._pandas.Categorical(values)
        if column.meaning == "boolean":
            missing = np.isnan(values)
            return self._pandas.arrays.BooleanArray(np.where(missing, 0, values).astype(bool), missing)
        if column.meaning in {"date", "datetime"}:
            times = as_times(values)
            if column.name not in self._zones:
                return times
            return self._pandas.DatetimeIndex(times, tz="UTC").tz_convert(self._zones[column.name])
        if column.datatype == "BYTES":
            return self._pandas.Series(values, dtype=self._text)
        return values


def find_unknown_category(error: Exception, columns: Columns) -> Invalid | None:
    """Return the error for a caller whose rows hold a category that the model does not know, where its library said that."""
    words = _CATEGORY_WORDS.search(str(error)[:4000])
    if words is None:
        return None
    told = words["many"] if words["one"] is None else repr(words["one"])
    numbers = [float(number) for number in _NUMBER.findall(told)]
    held = {name: _first_held(values, told, numbers) for name, values in columns.items()}
    found = {name: value for name, value in held.items() if value is not None}
    if not found:
        return None
    names = " or ".join(map(repr, found))
    return Invalid(
        f"input {names} holds {str(next(iter(found.values())))[:64]!r}, a category that the model was not trained with",
        code="serving.unknown_category",
        hint="send one that it knows; a model that new ones may reach is trained to take them, such as "
        "with OneHotEncoder(handle_unknown='ignore')",
    )


def _first_held(values: Array, told: str, numbers: Sequence[float]) -> Any:
    """Return the first value that is among those told; None where none is."""
    if values.dtype.kind == "O":
        return next((value for value in values.flat if value is not None and repr(value) in told), None)
    return next(iter(values[np.isin(values, numbers)].tolist()), None) if numbers else None
