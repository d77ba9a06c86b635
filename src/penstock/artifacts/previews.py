"""What can be shown of a file that anybody may have written: its kind, and text or rows of its beginning.

Nothing here renders; what comes out is text, to be escaped. Parquet is read by a process of its own with bounds on time
and memory, since a few bytes of it can stand for gigabytes.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

Kind = Literal["image", "text", "json", "table", "parquet", "markdown", "html", "none"]
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("png", "jpg", "jpeg", "gif", "webp", "svg"), "image"),
    **dict.fromkeys(("html", "htm"), "html"),
    **dict.fromkeys(("md", "markdown"), "markdown"),
    **dict.fromkeys(("csv", "tsv", "jsonl", "ndjson"), "table"),
    "json": "json",
    "parquet": "parquet",
}
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
ROWS, COLUMNS, CELL = 200, 60, 200
PARQUET_S = 20.0


@dataclass(frozen=True)
class Rows:
    """The first rows of a table as text. `types` are told where the file tells them, `row_count` where it is known."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    types: tuple[str, ...] = ()
    row_count: int | None = None
    column_count: int | None = None
    is_cut: bool = False


def kind_of(name: str) -> Kind:
    """Return what a file is by its name's end; `text` where that says nothing: its bytes will tell."""
    return KINDS.get(name.rpartition(".")[2].lower(), "text")


def picture_type(name: str, head: bytes) -> str | None:
    """Return the media type of a picture by its first bytes, whatever its name says; None where it is none."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    found = next((one for start, one in PICTURES.items() if head.startswith(start)), None)
    if found is None and name.lower().endswith(".svg") and b"<svg" in head[:4096]:
        return "image/svg+xml"
    return found


def decode(data: bytes, *, is_whole: bool) -> str | None:
    """Return bytes as text, None where they are none; a character that was cut at the end is left out."""
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if not is_whole and error.start >= len(data) - 4:
            return data[: error.start].decode("utf-8")
        return None


def pretty(text: str) -> str | None:
    """Return JSON with its structure shown, None where it is no JSON or is nested too deeply."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def read_rows(name: str, text: str, *, is_whole: bool) -> Rows | None:
    """Return the first rows of CSV, TSV or JSON lines; None where they cannot be read so."""
    lines = text if is_whole else text[: text.rfind("\n") + 1] or text
    if name.lower().endswith((".jsonl", ".ndjson")):
        return _of_records(lines, is_whole=is_whole)
    delimiter = "\t" if name.lower().endswith(".tsv") else ","
    reader = csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter)
    try:
        told = (row for row in reader if row)
        found = [tuple(_cut(cell) for cell in row) for row in islice(told, ROWS + 2)]
    except csv.Error:
        return None
    try:
        more = sum(1 for _ in told) if is_whole else 0
    except csv.Error:
        is_whole, more = False, 0
    return _rows(found[0], found[1:], more, is_whole=is_whole) if found else None


def read_parquet(data: bytes) -> Rows | str:
    """Return the first rows of a Parquet file, or in words why they cannot be shown."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "penstock.artifacts.parquet_preview"],
            input=data,
            env={"POLARS_MAX_THREADS": "1"},
            capture_output=True,
            timeout=PARQUET_S,
            check=False,
        )
        found = json.loads(done.stdout)
        columns, types, rows = (tuple(found[key]) for key in ("columns", "types", "rows"))
        count, width = int(found["row_count"]), int(found["column_count"])
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return "it is no Parquet, or reading it takes more memory or time than is given to it"
    cells = tuple(tuple(_cut(str(cell)) for cell in row) for row in rows)
    return Rows(columns, cells, types, count, width, count > len(cells) or width > len(columns))


def _of_records(lines: str, *, is_whole: bool) -> Rows | None:
    records: list[dict[str, Any]] = []
    told = [one for one in lines.splitlines() if one.strip()]
    try:
        for line in told[: ROWS + 1]:
            record = json.loads(line)
            if not isinstance(record, dict):
                return None
            records.append(record)
    except (ValueError, RecursionError):
        return None
    names = tuple(dict.fromkeys(name for one in records for name in one))
    rows = [tuple(_texts(one, names)) for one in records]
    return _rows(names, rows, len(told) - len(rows), is_whole=is_whole) if names else None


def _texts(record: dict[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = record.get(name)
        yield _cut(value if isinstance(value, str) else "" if value is None else json.dumps(value))


def _rows(names: tuple[str, ...], rows: list[tuple[str, ...]], more: int, *, is_whole: bool) -> Rows:
    """Return what is shown of rows, `more` of which were only counted."""
    width = max([len(names), *map(len, rows)])
    shown = tuple(row[:COLUMNS] for row in rows[:ROWS])
    is_cut = not is_whole or len(rows) > ROWS or width > COLUMNS
    return Rows(names[:COLUMNS], shown, (), len(rows) + more if is_whole else None, width, is_cut)


def _cut(text: str) -> str:
    return text if len(text) <= CELL else f"{text[:CELL]}…"
