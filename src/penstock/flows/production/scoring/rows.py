"""A part's rows as a model takes them, and why a row cannot be asked about.

What holds for a whole column (it is absent, or of a kind that never fits) is an error; what holds for one row leaves
out that row. The rules are those of a request (`penstock.serving.matching`): nothing missing that is required, no
infinity, and no value that would lose something in the model's type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.base.errors import Invalid
from penstock.data.formats.columns import no_column
from penstock.data.formats.tables import to_array
from penstock.flows.models.tables import table_inputs, time_texts
from penstock.flows.production.scoring.wanted import Part
from penstock.monitoring.profile import all_finite
from penstock.records.signature import Column, Signature
from penstock.serving.loaders.model import Array, numpy_dtype
from penstock.serving.loaders.times import as_times, names_offset

TEXTS = (pl.String, pl.Categorical, pl.Enum)
MISSING = ("", "nan", "null", "none", "na")
"""Texts that mean a missing number, in any case of their letters."""
NO_TIME = ("", "nat")
"""Texts that mean a missing time."""
TRUTH = {"true": "1", "false": "0"}


@dataclass(frozen=True)
class Asked:
    """Rows that can be asked about as columns; `rows` are their places in the part, `reasons` of the others why not."""

    columns: dict[str, Array]
    rows: npt.NDArray[np.int64]
    reasons: dict[int, str]


def rows_of(part: Part, signature: Signature, carried: tuple[str, ...]) -> Asked:
    """Return a part's rows as the model takes them.

    Raises:
        Invalid: a column that the model needs is not there or of another kind, or the model takes no table.
    """
    tensors = [column for column in signature.inputs if column.is_tensor]
    if tensors:
        return _matrix(part, signature, carried)
    checks = _Checks(part.frame.height, part.broken)
    typed: list[tuple[Column, pl.Series]] = []
    for column in signature.inputs:
        if column.name in part.frame.columns:
            typed.append((column, checks.take(column, part.frame[column.name])))
        elif column.required:
            raise no_column(
                f"the table has no column {column.name!r}, which the model needs",
                column.name,
                part.there or part.frame.columns,
            )
    is_good = checks.good
    keep = pl.Series(is_good) if checks.reasons else None
    columns = {}
    for column, series in typed:
        columns[column.name] = _array(column, series if keep is None else series.filter(keep))
    return Asked(columns, np.flatnonzero(is_good), checks.reasons)


def _array(column: Column, series: pl.Series) -> Array:
    values = to_array(series)
    wanted = numpy_dtype(column.datatype)
    return values if values.dtype == wanted or series.null_count() else values.astype(wanted)


def _matrix(part: Part, signature: Signature, carried: tuple[str, ...]) -> Asked:
    """Return all columns that are not carried as the one matrix that a model takes."""
    if len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 2:
        raise Invalid(
            "the model takes tensors, which a table does not hold",
            code="batch.no_table_model",
            hint="ask it with penstock serve",
        )
    frame = part.frame.drop([name for name in carried if name in part.frame.columns])
    column = signature.inputs[0]
    checks = _Checks(part.frame.height, part.broken)
    one = Column(column.name, "FP64", column.required)
    numbers = [checks.take(one, series).alias(series.name) for series in frame.iter_columns()]
    is_good = checks.good
    whole = pl.DataFrame(numbers).filter(pl.Series(is_good))
    found = table_inputs(signature, whole) if whole.height else {column.name: np.empty((0, len(numbers)))}
    return Asked(found, np.flatnonzero(is_good), checks.reasons)


class _Checks:
    """Collects the first reason against each row."""

    def __init__(self, height: int, broken: dict[int, str]) -> None:
        self.reasons = dict(broken)
        self.good = np.ones(height, dtype=np.bool_)
        self.good[list(broken)] = False

    def against(self, found: pl.Series, reason: str) -> None:
        """Leave out the rows of a mask."""
        if not found.any():
            return
        for row in np.flatnonzero(found.fill_null(value=False).to_numpy()).tolist():
            self.reasons.setdefault(row, reason)
            self.good[row] = False

    def take(self, column: Column, series: pl.Series) -> pl.Series:
        """Return a column in the model's type, with what does not fit noted against its rows."""
        is_exact = series.dtype == _EXACT.get(column.datatype) and not series.null_count()
        if is_exact and (not series.dtype.is_float() or all_finite(series.to_numpy())):
            return series  # nothing to convert and nothing against any row: a tenth of the time
        if column.datatype == "BYTES":
            return self._text(column, series)
        number, is_missing = self._number(column, series)
        if column.required:
            self.against(is_missing, f"{column.name} is missing")
        if number.dtype.is_float():
            self.against(number.is_infinite(), f"{column.name} is not finite")
        if column.datatype == "BOOL" or column.meaning == "boolean":
            is_neither = (number != 0) & (number != 1) & ~is_missing
            self.against(is_neither, f"{column.name} is neither true nor false")
        if column.datatype == "BOOL":
            return number.cast(pl.Float64).fill_nan(None) != 0
        if column.datatype.startswith("FP"):
            return number.cast(pl.Float32 if column.datatype == "FP32" else pl.Float64)
        whole = _POLARS[column.datatype]
        if number.dtype.is_float():
            number = number.fill_nan(None)
            self.against((number != number.round()) & number.is_finite(), f"{column.name} is no whole number")
        typed = number.cast(whole, strict=False)
        self.against(typed.is_null() & ~is_missing, f"{column.name} does not fit into {column.datatype}")
        return typed

    def _number(self, column: Column, series: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Return a column as numbers, and which are missing."""
        if series.dtype in TEXTS:
            text = series.cast(pl.String).str.strip_chars()
            low = text.str.to_lowercase()
            is_missing = text.is_null() | low.is_in(MISSING)
            if column.datatype == "BOOL" or column.meaning == "boolean":
                text = low.replace(TRUTH)
            number = text.cast(pl.Float64, strict=False)
            if "INT" in column.datatype:
                exact = text.cast(pl.Int64, strict=False)
                if not (exact.is_null() & number.is_not_null()).any():
                    number = exact
            self.against(number.is_null() & ~is_missing, f"{column.name} is no number")
            return number, is_missing
        if series.dtype == pl.Null:
            return series.cast(pl.Float64), series.is_null()
        if series.dtype == pl.Boolean:
            return series.cast(pl.Int8), series.is_null()
        if series.dtype.is_numeric():
            number = series.cast(pl.Float64) if series.dtype.is_decimal() else series
            is_missing = number.is_null()
            return number, is_missing | number.is_nan() if number.dtype.is_float() else is_missing
        raise _other_kind(column, series)

    def _text(self, column: Column, series: pl.Series) -> pl.Series:
        if series.dtype.is_temporal() and column.meaning in {"date", "datetime"}:
            text = time_texts(column, series)
        elif series.dtype in TEXTS or series.dtype == pl.Null:
            text = series.cast(pl.String)
        else:
            raise _other_kind(column, series)
        if column.meaning in {"date", "datetime"}:
            text = text.set(text.str.strip_chars().str.to_lowercase().is_in(NO_TIME), None)
        if column.required:
            self.against(text.is_null(), f"{column.name} is missing")
        if column.meaning in {"date", "datetime"}:
            looked_at = text
            if series.dtype.is_temporal():  # all but those at the ends are times that every clock tells
                looked_at = text.set(series.dt.year().is_between(2, 9998), None)
            self.against(_no_times(column, looked_at), f"{column.name} is no {column.meaning}")
        if column.zone:
            bare = [one for one in text.drop_nulls().unique().to_list() if not names_offset(one)]
            self.against(
                text.is_in(bare),
                f"{column.name} takes times of the zone {column.zone}, and names no offset",
            )
        return text


def _no_times(column: Column, text: pl.Series) -> pl.Series:
    """Return which texts are no times; numpy's own reading is what a request is held to."""

    def is_none(value: str) -> bool:
        try:
            as_times([value], column.zone)
        except ValueError:
            return True
        return False

    strange = [one for one in text.drop_nulls().unique().to_list() if is_none(one)]
    return text.is_in(strange) if strange else pl.repeat(False, len(text), dtype=pl.Boolean, eager=True)


def _other_kind(column: Column, series: pl.Series) -> Invalid:
    return Invalid(
        f"column {column.name!r} holds {series.dtype}, and the model takes {column.datatype}",
        code="batch.other_kind",
        hint=f"write {column.name!r} as {'text' if column.datatype == 'BYTES' else 'numbers'} into the table",
        column=column.name,
    )


_POLARS: dict[str, type[pl.DataType]] = {
    "INT8": pl.Int8,
    "INT16": pl.Int16,
    "INT32": pl.Int32,
    "INT64": pl.Int64,
    "UINT8": pl.UInt8,
    "UINT16": pl.UInt16,
    "UINT32": pl.UInt32,
    "UINT64": pl.UInt64,
}
_EXACT: dict[str, type[pl.DataType]] = {**_POLARS, "FP32": pl.Float32, "FP64": pl.Float64}
