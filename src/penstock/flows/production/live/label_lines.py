"""Labels as JSON: an entry a line, or one list. What is no entry is told of by its place, and the others are good."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from penstock.base.errors import Invalid

NO_NUMBER = (
    "{} is no number and no label; where the truth is not known leave the entry out, or write null for that row "
    "among the labels of several rows"
)
HINT = 'write one {"prediction_id": "…", "label": 1} a line'


class LabelLines(NamedTuple):
    """Entries with the place of each, and what was no entry, in words with its place."""

    entries: list[Any]
    places: list[str]
    refused: list[str]


def read_label_lines(data: bytes, name: str) -> LabelLines:
    """Return the entries of JSON lines, or of one JSON list.

    Args:
        name: of the file, for what is told of it.

    Raises:
        Invalid: it is no text in UTF-8, or a list that is no JSON.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(name, f"its byte {error.start} is no UTF-8") from None
    if text.lstrip().startswith("["):
        return _of_list(text, name)
    found = LabelLines([], [], [])
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            _take(found, line, f"line {number}")
    return found


def _of_list(text: str, name: str) -> LabelLines:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(name, _why(error)) from None
    found = LabelLines([], [], [])
    for number, entry in enumerate(entries, 1):
        _take(found, json.dumps(entry), f"entry {number}")
    return found


def _take(found: LabelLines, text: str, place: str) -> None:
    try:
        entry = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        found.refused.append(f"{place}: it is no JSON: {_why(error, of_lines=False)}")
        return
    except _NoNumber as error:
        found.refused.append(f"{place}: {NO_NUMBER.format(error)}")
        return
    try:
        json.dumps(entry, allow_nan=False)
    except ValueError:  # 1e999 is read as an infinity
        found.refused.append(f"{place}: {NO_NUMBER.format('an infinity')}")
        return
    found.entries.append(entry)
    found.places.append(place)


class _NoNumber(Exception):
    """NaN, Infinity or -Infinity stands where JSON has numbers, as Python writes it."""


def _refuse(constant: str) -> Any:
    raise _NoNumber(constant)


def _why(error: ValueError | RecursionError, *, of_lines: bool = True) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not isinstance(error, json.JSONDecodeError):
        return "one of its numbers has too many digits"
    line = f"line {error.lineno}, " if of_lines else ""
    return f"{error.msg} ({line}column {error.colno})"


def _unreadable(name: str, why: str) -> Invalid:
    return Invalid(f"{name} cannot be read as labels: {why}", code="serving.bad_feedback", hint=HINT)
