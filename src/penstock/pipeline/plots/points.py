"""Data points in CSV, TSV, JSON and YAML files; values of CSV stay texts, as DVC hands them to its templates.

Source: dvc/repo/plots/__init__.py and dvc/render/converter/vega.py (3.67).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid
from penstock.pipeline.parameters import parse_any

Point = dict[str, Any]


def parse_points(
    data: bytes, file: str, wanted: Collection[str] = (), *, has_header: bool = True
) -> list[Point]:
    """Return the data points of a file, in order.

    In JSON and YAML they are the first list of mappings, wherever it is nested; the first that has the `wanted` fields,
    where one does.

    Raises:
        Invalid: it cannot be read, or holds no data points.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad(file, "it is not UTF-8 text") from None
    suffix = Path(file).suffix.lower()
    if suffix in {".csv", ".tsv"}:
        return _parse_table(text, file, "," if suffix == ".csv" else "\t", has_header=has_header)
    lists = list(_lists(parse_any(text, Path(file))))
    if not lists:
        raise _bad(file, "there is no list of mappings in it")
    return next((one for one in lists if one and set(wanted) <= one[0].keys()), lists[0])


def _parse_table(text: str, file: str, delimiter: str, *, has_header: bool) -> list[Point]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise _bad(file, str(error)) from None
    if not rows:
        return []
    names, body = (rows[0], rows[1:]) if has_header else ([str(at) for at in range(len(rows[0]))], rows)
    return [dict(zip(names, row, strict=False)) for row in body]


def _lists(value: Any) -> Iterator[list[Point]]:
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        yield [{str(key): cell for key, cell in one.items()} for one in value]
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _lists(inner)


def _bad(file: str, problem: str) -> Invalid:
    return Invalid(f"{file} has no data points: {problem}", code="plots.bad_data", file=file)
