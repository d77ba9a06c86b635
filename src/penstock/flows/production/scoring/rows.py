"""A part's rows as a model takes them, and why a row cannot be asked about.

What holds for a whole column (it is absent, or of a kind that never fits) is an error; what holds for one row leaves
out that row. The rules are those of a request (`penstock.serving.matching`): nothing missing that is required, no
infinity, and no value that would lose something in the model's type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.base.errors import Invalid
from penstock.data.formats.columns import no_column
from penstock.data.formats.tables import to_array
from penstock.flows.models.tables import no_matrix, table_inputs, time_texts
from penstock.flows.production.scoring.wanted import EXACT_MAX, Part
from penstock.monitoring.profile import all_finite
from penstock.records.signature import Column, Datatype, Signature
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
    """Rows that can be asked about as columns; `rows` are their places in the part, `reasons` of the others why not.

    `names` are the table's columns in the order of the one matrix that they were made, where the model takes one.
    """

    columns: dict[str, Array]
    rows: npt.NDArray[np.int64]
    reasons: dict[int, str]
    names: tuple[str, ...] = ()


def rows_of(part: Part, signature: Signature, carried: tuple[str, ...], names: tuple[str, ...] = ()) -> Asked:
    """Return a part's rows as the model takes them.

    Args:
        names: the columns of the parts before it, in their order, where the model takes them as one matrix.

    Raises:
        Invalid: a column that the model needs is not there or of another kind, there are others than in the parts before
            it, or the model takes no table.
    """
    tensors = [column for column in signature.inputs if column.is_tensor]
    if tensors:
        return _matrix(part, signature, carried, names)
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


def _matrix(part: Part, signature: Signature, carried: tuple[str, ...], names: tuple[str, ...]) -> Asked:
    """Return all columns that are not carried as the one matrix that a model takes, by name where names are known."""
    if len(signature.inputs) != 1 or len(signature.inputs[0].shape) != 2:
        raise Invalid(
            "the model takes tensors, which a table does not hold",
            code="batch.no_table_model",
            hint="ask it with penstock serve",
        )
    column = signature.inputs[0]
    frame = part.frame.drop([name for name in carried if name in part.frame.columns])
    frame = _in_order(frame, part, names) if names else _of_width(frame, part, column)
    checks = _Checks(part.frame.height, part.broken)
    is_whole = "INT" in column.datatype
    kind: Datatype = column.datatype if is_whole or column.datatype.startswith("FP") else "FP64"
    one = Column(column.name, kind, column.required or is_whole)
    numbers = [checks.take(one, series).alias(series.name) for series in frame.iter_columns()]
    is_good = checks.good
    whole = pl.DataFrame(numbers).filter(pl.Series(is_good))
    found = table_inputs(signature, whole) if whole.height else {column.name: np.empty((0, len(numbers)))}
    return Asked(found, np.flatnonzero(is_good), checks.reasons, tuple(frame.columns))


def _of_width(frame: pl.DataFrame, part: Part, column: Column) -> pl.DataFrame:
    """Return the first rows' columns where there are as many as the matrix has; those of broken rows alone do not count."""
    width = column.shape[1]
    if part.broken and width not in (-1, frame.width):
        frame = frame.select(_said(frame, part))
    if width not in (-1, frame.width):
        raise no_matrix(column, frame.width)
    return frame


def _in_order(frame: pl.DataFrame, part: Part, names: tuple[str, ...]) -> pl.DataFrame:
    """Return columns in the order of those before them; a line of JSON may lack some, and is told by itself."""
    if part.numbers is None:
        require_same(names, frame.columns)
    else:
        require_same(names, [*names, *(name for name in _said(frame, part) if name not in names)])
        nothing = [None] * part.frame.height
        lacking = [name for name in names if name not in frame.columns]
        frame = pl.DataFrame(
            [*frame.iter_columns(), *(pl.Series(name, nothing, dtype=pl.Null) for name in lacking)]
        )
    return frame.select(names)


def _said(frame: pl.DataFrame, part: Part) -> list[str]:
    """Return the columns in which a row that is not broken has something."""
    is_whole = pl.Series([row not in part.broken for row in range(part.frame.height)], dtype=pl.Boolean)
    whole = frame.filter(is_whole) if frame.width else frame
    return [one.name for one in whole.iter_columns() if one.null_count() < len(one)]


def require_same(names: Sequence[str], there: Sequence[str], called: str = "the table") -> None:
    """Check that a table has the columns of those before it, in whatever order.

    Args:
        called: what the table is called in the error.

    Raises:
        Invalid: it has others.
    """
    lacking = [f"no {name!r}" for name in names if name not in there]
    more = [repr(name) for name in there if name not in names]
    if lacking or more:
        raise Invalid(
            f"{called} has other columns than the rows before it, of which the model takes all as one matrix: "
            f"{', '.join(lacking + more)}",
            code="batch.other_columns",
            hint=f"give each table the columns {', '.join(names)}, in any order, and name others in --columns",
        )


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
            return self._fraction(column, number)
        return self._whole(column, series, number, is_missing)

    def _fraction(self, column: Column, number: pl.Series) -> pl.Series:
        typed = number.cast(pl.Float32 if column.datatype == "FP32" else pl.Float64)
        if column.datatype != "FP64":
            is_beyond = (typed.abs() > float(np.finfo(numpy_dtype(column.datatype)).max)) & ~typed.is_nan()
            self.against(is_beyond, f"{column.name} does not fit into {column.datatype}")
        return typed

    def _whole(
        self, column: Column, series: pl.Series, number: pl.Series, is_missing: pl.Series
    ) -> pl.Series:
        """Return numbers as whole ones, each exactly as its own row has it, whatever stands in others."""
        kind = _POLARS[column.datatype]
        typed = number.cast(kind, strict=False)
        if not number.dtype.is_float():
            self.against(typed.is_null() & ~is_missing, f"{column.name} does not fit into {column.datatype}")
            return typed
        number = number.fill_nan(None)
        written = (
            series.cast(pl.String).str.strip_chars() if series.dtype in TEXTS else typed.clear(len(typed))
        )
        exact = written.cast(kind, strict=False)  # of text without a point or exponent
        is_float = exact.is_null()
        self.against(
            is_float & (number != number.round()) & number.is_finite(), f"{column.name} is no whole number"
        )
        is_beyond = is_float & typed.is_null() & ~is_missing
        self.against(is_beyond, f"{column.name} does not fit into {column.datatype}")
        is_rounded = is_float & (number.abs() >= EXACT_MAX)
        self.against(
            is_rounded, f"{column.name} is a floating-point number from 2^53 on, which may be rounded"
        )
        return typed.zip_with(is_float, exact)

    def _number(self, column: Column, series: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Return a column as numbers, and which are missing."""
        if series.dtype in TEXTS:
            text = series.cast(pl.String).str.strip_chars()
            low = text.str.to_lowercase()
            is_missing = text.is_null() | low.is_in(MISSING)
            if column.datatype == "BOOL" or column.meaning == "boolean":
                text = low.replace(TRUTH)
            number = text.cast(pl.Float64, strict=False)
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
