"""Large tables as batches of named arrays, in constant memory. Tables that fit are in `tables`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from penstock.data.formats.delimited import read_heading
from penstock.data.formats.row_groups import parquet_frames
from penstock.data.formats.tables import Array, to_array, unreadable

T = TypeVar("T")
BATCH_ROWS = 50_000
INFER_ROWS = 10_000
TEXTS = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Time)
READERS: dict[str, Callable[..., pl.LazyFrame]] = {
    ".csv": partial(pl.scan_csv, try_parse_dates=True),
    ".jsonl": pl.scan_ndjson,
    ".ndjson": pl.scan_ndjson,
}


@dataclass(frozen=True)
class Batch:
    """Some rows of a table: numbers as arrays; texts and booleans (`true`, `false`) as how often each is there."""

    row_count: int
    columns: dict[str, Array] = field(default_factory=dict)
    texts: dict[str, dict[str, int]] = field(default_factory=dict)


def reduce_table(path: Path, reduce: Callable[[Iterator[Batch]], T]) -> T:
    """Return what `reduce` makes of a table's batches: Parquet, CSV or JSON lines, told by the name's end.

    `reduce` is called a second time, from the beginning, where a later row of a text format shows that the
    first ones misled about a column's type.

    Raises:
        Invalid: the table does not exist, cannot be read, or names a column twice.
    """
    read = READERS.get(path.suffix.lower())
    try:
        if read is None:
            return reduce(map(_batch, parquet_frames(path, None, rows=BATCH_ROWS)))
        if path.suffix.lower() == ".csv":
            read_heading(path)
        try:
            return reduce(_batches(read(path, infer_schema_length=INFER_ROWS)))
        except pl.exceptions.ComputeError:
            return reduce(_batches(read(path, infer_schema_length=None)))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unreadable(path, error, hint="a table is .parquet, .csv, .jsonl or .ndjson") from None


def columns_left_out(table: Path | pl.DataFrame) -> tuple[str, ...]:
    """Return the columns of a table that its batches do not have: lists, structures, bytes.

    Raises:
        Invalid: the table does not exist or cannot be read.
    """
    if isinstance(table, pl.DataFrame):
        schema = table.schema
    else:
        read = READERS.get(table.suffix.lower())
        try:
            lazy = pl.scan_parquet(table) if read is None else read(table, infer_schema_length=INFER_ROWS)
            schema = lazy.collect_schema()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise unreadable(table, error, hint="a table is .parquet, .csv, .jsonl or .ndjson") from None
    return tuple(name for name, kind in schema.items() if _is_left_out(kind))


def _is_left_out(kind: pl.DataType) -> bool:
    return kind.is_nested() or kind == pl.Binary


def frame_batches(frame: pl.DataFrame) -> Iterator[Batch]:
    """Yield the batches of a frame that is in memory."""
    for part in frame.iter_slices(BATCH_ROWS):
        yield _batch(part)


def _batches(lazy: pl.LazyFrame) -> Iterator[Batch]:
    for part in lazy.collect_batches(chunk_size=BATCH_ROWS):
        yield _batch(part)


def _batch(frame: pl.DataFrame) -> Batch:
    """Return columns: times as seconds since the epoch; lists and structures are left out."""
    found = Batch(frame.height)
    for column in frame.iter_columns():
        flat = column
        if _is_left_out(column.dtype):
            continue
        if column.dtype in TEXTS:
            found.texts[column.name] = _counted(column)
            continue
        if column.dtype in (pl.Date, pl.Datetime):
            flat = column.cast(pl.Datetime("ms")).cast(pl.Int64).cast(pl.Float64) / 1000
        elif column.dtype == pl.Duration:
            flat = column.dt.total_milliseconds().cast(pl.Float64) / 1000
        elif column.dtype.is_decimal() or column.dtype == pl.Null:
            flat = column.cast(pl.Float64)
        found.columns[column.name] = to_array(flat)
    return found


def _counted(column: pl.Series) -> dict[str, int]:
    """Return how often each text is there; polars counts in a tenth of the time that a loop over texts takes."""
    counts = column.cast(pl.String).drop_nulls().alias("text").value_counts()
    return dict(zip(counts["text"].to_list(), counts["count"].to_list(), strict=True))
