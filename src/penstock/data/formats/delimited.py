"""CSV as records whose fields are counted: a row that a comma too many shifted is never read as if it were whole.

Polars parses the values (`parse`); it drops the fields that are beyond the heading where no later column is asked for,
so what is given to it was counted before. Frames of whole tables are in `tables`.

Source:
    RFC 4180, section 2.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import msgspec
import polars as pl

from penstock.base.errors import Invalid
from penstock.base.numbers import counted

BOM = b"\xef\xbb\xbf"
QUOTED = re.compile(rb'(?:^|(?<=,))"(?:[^"\n]|"")*"(?=[,\r\n])')
"""A field in quotes that ends on its line; a line's other commas part fields. 4 times as fast as a `csv.reader` a line."""
LITERAL_QUOTE = re.compile(rb'(?:^|,)[^",\r\n][^,\r\n]*"')
"""A quote within a field that none opened, which parsers read differently; a false find costs only time."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One row as it lies in the file, and why it cannot be read as one; `reason` is empty where it can."""

    raw: bytes
    reason: str = ""


def require_named_once(names: Sequence[str], called: str) -> None:
    """Refuse a heading that names a column twice; columns without a name are nobody's.

    Raises:
        Invalid: it does.
    """
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise Invalid(
                f"{called} has the column {name!r} twice",
                code="data.column_twice",
                hint="give each column a name of its own: which of the two is meant cannot be told",
                column=name,
            )
        seen.add(name)


def read_heading(path: Path) -> list[str]:
    """Return the names of a CSV's columns.

    Raises:
        Invalid: it is empty, no text, or names a column twice.
    """
    with path.open("rb") as file:
        return heading_of(_lines(file), path)


def heading_of(lines: Iterator[bytes], path: Path) -> list[str]:
    """Take the heading from a CSV's lines.

    Raises:
        Invalid: there is none, it is no text, or it names a column twice.
    """
    try:
        names = next((one for one in csv.reader((line.decode() for line in lines), strict=True) if one), [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise _no_heading(path, f"its heading cannot be read: {error}") from None
    if not names:
        raise _no_heading(path, "it has no heading")
    require_named_once(names, path.name)
    first = names.index("") if "" in names else 0
    return [name or (f"_duplicated_{index}" if index > first else "") for index, name in enumerate(names)]


def open_records(path: Path) -> tuple[list[str], Iterator[Record]]:
    """Return a CSV's heading and the records below it, which are read as they are taken; an empty line is one too.

    Raises:
        Invalid: it is empty, no text, or names a column twice.
    """
    lines = _opened(path)
    names = heading_of(lines, path)
    return names, _records(lines, len(names))


def find_ragged(path: Path) -> tuple[int, str] | None:
    """Return the first row (from 1, without the heading) that is not as wide as the heading, and what it has."""
    records = open_records(path)[1]
    return next(((row, one.reason) for row, one in enumerate(records, 1) if one.reason), None)


def parse(records: Sequence[Record], names: Sequence[str], wanted: Sequence[str]) -> pl.DataFrame:
    """Return records as columns of text, a record that cannot be read as a row of nulls."""
    empty = b'""\n' if len(names) == 1 else b"," * (len(names) - 1) + b"\n"
    data = b"".join(empty if one.reason or not one.raw.strip(b"\r\n") else one.raw for one in records)
    places = [names.index(name) for name in wanted]
    frame = pl.read_csv(
        io.BytesIO(data),
        has_header=False,
        schema={str(place): pl.String for place in range(len(names))},
        columns=places,
    ).select(pl.col(str(place)).alias(name) for place, name in zip(places, wanted, strict=True))
    if frame.height != len(records):
        raise pl.exceptions.ComputeError(
            f"{counted(frame.height, 'row was', 'rows were')} found in {counted(len(records), 'record')}"
        )
    return frame


def _opened(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from _lines(file)


def _lines(file: Iterator[bytes] | io.BufferedReader) -> Iterator[bytes]:
    lines = iter(file)
    first = next(lines, None)
    if first is not None:
        yield first.removeprefix(BOM)
    for line in lines:
        yield line if line.endswith(b"\n") else line + b"\n"


def _records(lines: Iterator[bytes], width: int) -> Iterator[Record]:
    waiting = lines
    while True:
        line = next(waiting, None)
        if line is None:
            return
        bare = QUOTED.sub(b"-", line) if b'"' in line else line
        if b'"' not in bare:
            is_empty = not line.strip(b"\r\n")
            count = bare.count(b",") + 1 if not is_empty or width == 1 else 0
            yield _judged(line, count, width)
            continue
        held: list[bytes] = []
        try:
            fields = next(csv.reader(_held(chain([line], waiting), held), strict=True))
        except csv.Error as error:
            # The lines below are rows of their own: a quote that is never closed must not swallow them.
            yield Record(held[0], f"is no CSV: {error}")
            waiting = chain(held[1:], waiting)
            continue
        raw = b"".join(held)
        yield _judged(_rendered(fields) if LITERAL_QUOTE.search(raw) else raw, len(fields), width)


def _held(lines: Iterator[bytes], held: list[bytes]) -> Iterator[str]:
    """Yield lines as text of one character a byte, and hold them."""
    for line in lines:
        held.append(line)
        yield line.decode("latin-1")


def _rendered(fields: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(fields)
    return buffer.getvalue().encode("latin-1")


def _judged(raw: bytes, count: int, width: int) -> Record:
    if count != width:
        return Record(raw, f"has {count} {'field' if count == 1 else 'fields'} of {width}")
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError:
            return Record(raw, "is no text in UTF-8")
    return Record(raw)


def _no_heading(path: Path, why: str) -> Invalid:
    return Invalid(
        f"table {path} cannot be read: {why}",
        code="data.bad_table",
        hint="a CSV begins with a line of column names, in UTF-8",
        path=str(path),
    )
