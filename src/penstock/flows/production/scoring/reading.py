"""A table in parts of equal size, in constant memory, from any row on; what a row says is judged in `rows`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec
import polars as pl

from penstock.base.errors import Invalid
from penstock.data.formats.tables import unreadable

HINT = "a table is .parquet, .csv, .jsonl or .ndjson"


@dataclass(frozen=True)
class Part:
    """Rows one after the other; `broken` says of rows that cannot even be read why, by their place in it."""

    frame: pl.DataFrame
    broken: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Columns that a part needs; those of `carried` must be there, of the `inputs` it is asked later."""

    inputs: Sequence[str]
    carried: Sequence[str] = ()
    everything: bool = False

    def of(self, there: Sequence[str], path: Path) -> list[str]:
        """Return those of the columns that are there which are needed.

        Raises:
            Invalid: a column that is to be carried is not there.
        """
        for name in self.carried:
            if name not in there:
                raise Invalid(
                    f"{path.name} has no column {name!r} to carry",
                    code="data.no_column",
                    hint=f"columns: {', '.join(there)}",
                    column=name,
                )
        return [name for name in there if self.everything or name in self.inputs or name in self.carried]


def read_parts(path: Path, wanted: Wanted, *, rows: int, skip: int = 0) -> Iterator[Part]:
    """Yield a table's rows after the first `skip`, `rows` at a time; every value of a text format as text.

    Raises:
        Invalid: it cannot be read, or lacks a column that is to be carried.
    """
    try:
        if path.suffix.lower() in {".jsonl", ".ndjson"}:
            yield from _of_lines(path, wanted, rows, skip)
            return
        lazy = (
            pl.scan_csv(path, infer_schema=False) if path.suffix.lower() == ".csv" else pl.scan_parquet(path)
        )
        names = wanted.of(lazy.collect_schema().names(), path)
        if not names:
            raise Invalid(
                f"{path.name} has no column that the model takes",
                code="data.no_column",
                hint=f"the model takes {', '.join(wanted.inputs)}",
            )
        chunks = lazy.select(names).slice(skip).collect_batches(chunk_size=rows, maintain_order=True)
        for frame in _exactly(chunks, rows):
            yield Part(frame)
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


def _of_lines(path: Path, wanted: Wanted, rows: int, skip: int) -> Iterator[Part]:
    with path.open("rb") as file:
        lines = (line for line in file if line.strip())
        for _ in islice(lines, skip):
            pass
        while chunk := list(islice(lines, rows)):
            yield _parsed(chunk, wanted, path)


def _parsed(lines: list[bytes], wanted: Wanted, path: Path) -> Part:
    """Return lines of JSON as a part; polars reads them at once where every line is an object."""
    broken: dict[int, str] = {}
    try:
        frame = _frame(lines)
    except pl.exceptions.PolarsError:
        frame = pl.DataFrame()
    if frame.height != len(lines):
        decode = msgspec.json.Decoder(dict[str, object]).decode
        for index, line in enumerate(lines):
            try:
                decode(line)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                broken[index] = f"no JSON object: {str(error)[:120]}"
                lines[index] = b"{}\n"
        if len(broken) == len(lines):
            raise Invalid(
                f"{path.name} holds no JSON objects: {next(iter(broken.values()))}",
                code="data.bad_table",
                hint="one JSON object a line",
            )
        frame = _frame(lines)
    absent = [name for name in wanted.inputs if name not in frame.columns]
    names = wanted.of(frame.columns, path)
    return Part(frame.select(names).with_columns(pl.lit(None).alias(name) for name in absent), broken)


def _frame(lines: list[bytes]) -> pl.DataFrame:
    return pl.read_ndjson(io.BytesIO(b"\n".join(lines)), infer_schema_length=None)
