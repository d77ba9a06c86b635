"""A table in parts of equal size, in constant memory, from any row on; what a row says is judged in `rows`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import polars as pl

from penstock.data.formats.columns import no_column
from penstock.data.formats.delimited import open_records, parse
from penstock.data.formats.row_groups import parquet_frames
from penstock.data.formats.tables import unreadable
from penstock.flows.production.scoring.lines import parts_of_lines
from penstock.flows.production.scoring.wanted import Part, Wanted

HINT = "a table is .parquet, .csv, .jsonl or .ndjson"


def read_parts(path: Path, wanted: Wanted, *, rows: int, skip: int = 0) -> Iterator[Part]:
    """Yield a table's rows after the first `skip`, `rows` at a time; every value of a text format as text.

    Raises:
        Invalid: it cannot be read, lacks a column that is to be carried, or names one twice.
    """
    try:
        if path.suffix.lower() in {".jsonl", ".ndjson"}:
            yield from parts_of_lines(path, wanted, rows, skip)
            return
        if path.suffix.lower() == ".csv":
            yield from _of_csv(path, wanted, rows, skip)
            return
        schema = pl.scan_parquet(path, glob=False).collect_schema()
        there, names = schema.names(), _of_parquet(wanted, schema, path)
        for frame in _exactly(parquet_frames(path, names, rows=rows, skip=skip), rows):
            yield Part(frame, there=there)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unreadable(path, error, hint=HINT) from None


def check_table(path: Path, wanted: Wanted, rows: int) -> Sequence[str]:
    """Check what a table's end or beginning tells: that it is one, and that its columns are those that are needed.

    Returns the columns that it tells of; lines of JSON may each have others.

    Args:
        rows: so many lines of JSON are looked at.

    Raises:
        Invalid: as `read_parts`.
    """
    try:
        if path.suffix.lower() in {".jsonl", ".ndjson"}:
            next(parts_of_lines(path, wanted, rows, 0), None)
            return ()
        if path.suffix.lower() == ".csv":
            names, _ = open_records(path)
            return _chosen(wanted, names, path)
        return _of_parquet(wanted, pl.scan_parquet(path, glob=False).collect_schema(), path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise unreadable(path, error, hint=HINT) from None


def _exactly(chunks: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Yield the same rows in frames of `rows`, but for the last one."""
    waiting: list[pl.DataFrame] = []
    count = 0
    for chunk in chunks:
        rest = chunk
        while rest.height:
            taken = rest.head(rows - count)
            rest = rest.slice(taken.height)
            waiting.append(taken)
            count += taken.height
            if count == rows:
                yield pl.concat(waiting)
                waiting, count = [], 0
    if count:
        yield pl.concat(waiting)


def _of_csv(path: Path, wanted: Wanted, rows: int, skip: int) -> Iterator[Part]:
    names, records = open_records(path)
    chosen = _chosen(wanted, names, path)
    for _ in islice(records, skip):
        pass
    while chunk := list(islice(records, rows)):
        broken = {place: one.reason for place, one in enumerate(chunk) if one.reason}
        yield Part(parse(chunk, names, chosen), broken, there=names)


def _of_parquet(wanted: Wanted, schema: pl.Schema, path: Path) -> list[str]:
    return _some(wanted.of_kinds(schema, path), wanted, schema.names(), path)


def _chosen(wanted: Wanted, there: Sequence[str], path: Path) -> list[str]:
    return _some(wanted.of(there, path), wanted, there, path)


def _some(names: list[str], wanted: Wanted, there: Sequence[str], path: Path) -> list[str]:
    if not names:
        first = next(iter(wanted.inputs), "")
        words = f"{path.name} has none of the columns that the model takes: {', '.join(wanted.inputs[:5])}"
        raise no_column(words + (" …" if len(wanted.inputs) > 5 else ""), first, there)
    return names
