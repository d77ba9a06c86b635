"""JSON lines in parts: polars reads lines that agree with each other; where some do not, each is judged alone."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from penstock.base.errors import Invalid
from penstock.flows.production.scoring.holding import as_text
from penstock.flows.production.scoring.wanted import EXACT_MAX, Part, Wanted

_KEY = re.compile(rb'"[ \t\r]*:')
SCALARS = (str, int, float, bool, type(None))


def parts_of_lines(path: Path, wanted: Wanted, rows: int, skip: int) -> Iterator[Part]:
    """Yield a file's lines after the first `skip` that are not empty; each knows its number in the file.

    Raises:
        Invalid: a part of it holds no JSON object, or lacks a column that is to be carried.
    """
    texts = msgspec.json.Decoder(
        msgspec.defstruct("Texts", [(f"f{index}", str | None, None) for index in range(len(wanted.texts))],
                          rename={f"f{index}": name for index, name in enumerate(wanted.texts)})
    )  # fmt: skip
    with path.open("rb") as file:
        numbered = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        for _ in islice(numbered, skip):
            pass
        is_first = not skip
        while chunk := list(islice(numbered, rows)):
            lines = [line for _, line in chunk]
            broken: dict[int, str] = {}
            twice = _named_twice(lines)
            frame = None if twice else _at_once(lines, wanted, texts)
            if frame is None:
                frame, broken = _one_by_one(lines, wanted, twice)
            if is_first:
                _check_first(frame, broken, wanted, path)
            yield Part(_whole(frame, len(lines), wanted), broken, [number for number, _ in chunk])
            is_first = False


def _check_first(frame: pl.DataFrame, broken: dict[int, str], wanted: Wanted, path: Path) -> None:
    """Refuse a file by its first part: later ones may lack what these lines have."""
    if frame.is_empty() and (broken or wanted.everything):
        raise Invalid(
            f"{path.name} holds no JSON objects: {next(iter(broken.values()), 'they are empty')}",
            code="data.bad_table",
            hint="one JSON object a line",
        )
    wanted.of_kinds(frame.schema, path)


def _whole(frame: pl.DataFrame, height: int, wanted: Wanted) -> pl.DataFrame:
    """Return what is wanted of a part, with nothing in the columns that none of its lines has."""
    expected = [*wanted.carried] if wanted.everything else [*wanted.inputs, *wanted.carried]
    absent = [name for name in dict.fromkeys(expected) if name not in frame.columns]
    found = [
        one
        for one in frame.iter_columns()
        if wanted.everything or one.name in {*wanted.inputs, *wanted.carried}
    ]
    if not found and not absent:  # a frame without a column has no rows
        absent = [""]
    return pl.DataFrame([*found, *(pl.Series(name, [None] * height, dtype=pl.Null) for name in absent)])


def _at_once(lines: list[bytes], wanted: Wanted, texts: msgspec.json.Decoder[Any]) -> pl.DataFrame | None:
    """Return the lines as polars reads them, if each is an object with what the model's columns may hold."""
    try:
        if wanted.texts:
            for line in lines:
                texts.decode(line)
        frame = pl.read_ndjson(io.BytesIO(b"\n".join(lines)), infer_schema_length=None)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, pl.exceptions.PolarsError):
        return None
    if frame.height != len(lines):
        return None
    asked = frame.columns if wanted.everything else wanted.inputs
    is_flat = not any(frame.schema[name].is_nested() for name in asked if name in frame.columns)
    return frame if is_flat and not _may_be_rounded(frame, wanted) else None


def _may_be_rounded(frame: pl.DataFrame, wanted: Wanted) -> bool:
    """Say whether a whole number is to be read exactly, and stands among fractions, as which polars has it."""
    numbers = [one for one in frame.iter_columns() if one.dtype.is_float() and one.name in wanted.whole]
    return any(((one.abs() >= EXACT_MAX) & ~one.is_nan()).any() for one in numbers)


def _named_twice(lines: list[bytes]) -> dict[int, str]:
    """Return the key that a line names twice, by the line's index: which of the two values is meant cannot be told.

    What ends a text and begins a value is at least as often there as there are keys; where it is as often, each is there once.
    """
    decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    found = {}
    for index, line in enumerate(lines):
        try:
            if len(_KEY.findall(line)) == len(decode(line)):
                continue
            names: list[list[str]] = []
            json.loads(line, object_pairs_hook=lambda pairs: names.append([name for name, _ in pairs]))  # noqa: B023
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue  # no object, which is told by what reads it
        outermost = names[-1]
        repeated = [name for place, name in enumerate(outermost) if name in outermost[:place]]
        if repeated:
            found[index] = repeated[0]
    return found


def _one_by_one(
    lines: list[bytes], wanted: Wanted, twice: dict[int, str]
) -> tuple[pl.DataFrame, dict[int, str]]:
    broken: dict[int, str] = {}
    found: list[dict[str, Any]] = []
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for index, line in enumerate(lines):
        try:
            row = decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            broken[index] = f"no JSON object: {str(error)[:120]}"
            found.append({})
            continue
        if index in twice:
            broken[index] = f"names {twice[index]} twice"
            found.append(dict.fromkeys(row))
            continue
        reason = _reason(row, wanted)
        if reason:
            broken[index] = reason
            row = {name: value if name in wanted.carried else None for name, value in row.items()}
        found.append(row)
    names = dict.fromkeys(name for row in found for name in row)
    return pl.DataFrame([_series(name, [row.get(name) for row in found]) for name in names]), broken


def _reason(row: dict[str, Any], wanted: Wanted) -> str:
    """Return why an object cannot be asked about for the kinds of its values alone."""
    for name in row if wanted.everything else wanted.inputs:
        value = row.get(name)
        if name in wanted.texts and not isinstance(value, str | None):
            return f"{name} is no text"
        if not isinstance(value, SCALARS) and name not in wanted.carried:
            return f"{name} is no number"
    return ""


def _series(name: str, values: list[Any]) -> pl.Series:
    """Return values as a column; those of several kinds as text, lists and objects as JSON."""
    kinds = {type(one) for one in values if one is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds < set(SCALARS)):
        try:
            if kinds == {int, float} and any(abs(one) >= EXACT_MAX for one in values if type(one) is int):
                raise OverflowError
            if float in kinds:
                return pl.Series(name, [None if one is None else float(one) for one in values])
            return pl.Series(name, values)
        except (pl.exceptions.PolarsError, OverflowError, TypeError):
            pass  # a whole number beyond 64 bits, or one that no fraction is
    return pl.Series(name, [as_text(one) for one in values], dtype=pl.String)
