"""Texts of dates and times as numpy's, in UTC where they name an offset, and the zones of columns of times."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Any

import numpy as np

from penstock.base.errors import Invalid
from penstock.records.signature import Column
from penstock.records.zones import zone_called
from penstock.serving.loaders.model import Array

MAX_TEXT = 64
"""Characters of a text that may be a time: a longer one is none, and is not looked at."""
_WITH_OFFSET = re.compile(r".*\d[T ]\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)", re.ASCII)
_WITH_SIGN = re.compile(r"\d[T ]\d.*[+zZ-]")
"""What numpy would take for an offset, with a warning."""
_OF_A_YEAR = re.compile(r"\s*(?:\d{4}(?!\d).*|nat)?", re.ASCII | re.IGNORECASE)
"""A year of four digits first, or nothing; numpy takes `now`, and years of any length, which do not fit."""
_FIRST, _LAST = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59.999999", "us")
_FIRST_SAFE, _LAST_SAFE = np.datetime64("0001-01-03", "us"), np.datetime64("9999-12-30", "us")
"""Between these every clock tells a moment in the years 1 to 9999."""


def as_times(values: Iterable[Any], zone: str = "") -> Array:
    """Return ISO 8601 texts as `datetime64[us]`, None as not a time.

    Args:
        zone: the times are told on its clock afterwards.

    Raises:
        ValueError: one is no date or time, or lies outside the years 1 to 9999 in UTC or on the zone's clock.

    Example:
        >>> as_times(["2026-11-28T08:30:00+02:00", None]).astype(str).tolist()
        ['2026-11-28T06:30:00.000000', 'NaT']
    """
    times = np.array([_without_offset(value) for value in values], dtype="datetime64[us]")
    if (outside := times[(times < _FIRST) | (times > _LAST)]).size:
        raise ValueError(f"{outside[0]} lies outside the years 1 to 9999")
    if zone:
        for time in times[(times < _FIRST_SAFE) | (times > _LAST_SAFE)].tolist():
            _check_told(time, zone)
    return times


def names_offset(value: Any) -> bool:
    """Whether a text tells its offset from UTC.

    Example:
        >>> names_offset("2026-11-28T08:30:00+02:00"), names_offset("2026-11-28T08:30:00")
        (True, False)
    """
    return isinstance(value, str) and len(value) <= MAX_TEXT and bool(_WITH_OFFSET.fullmatch(value.strip()))


def zones_of(columns: Iterable[Column]) -> dict[str, tzinfo]:
    """Return the time zones of columns of times that have one, by name.

    Raises:
        Invalid: this machine does not know a zone.
    """
    found = {}
    for column in columns:
        if column.zone:
            try:
                found[column.name] = zone_called(column.zone)
            except (LookupError, ValueError, OSError):
                raise Invalid(
                    f"the time zone {column.zone!r} of column {column.name!r} is not known on this machine",
                    code="serving.model_does_not_load",
                    hint="pip install tzdata",
                ) from None
    return found


def _without_offset(value: Any) -> Any:
    """Return a text in UTC without its offset, of which numpy warns on every value."""
    if not isinstance(value, str):
        return value
    value = value.strip() if len(value) <= MAX_TEXT else value
    if not names_offset(value):
        if len(value) > MAX_TEXT or not _OF_A_YEAR.fullmatch(value) or _WITH_SIGN.search(value):
            raise ValueError(f"{value[:MAX_TEXT]!r} is no date or time in the years 1 to 9999")
        return value
    try:
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError(f"{value[:MAX_TEXT]!r} lies outside the years 1 to 9999 in UTC") from None


def _check_told(time: Any, zone: str) -> None:
    """Raise ValueError for a time in UTC that a zone's clock cannot tell; a number is one beyond the year 9999."""
    try:
        time.replace(tzinfo=UTC).astimezone(zone_called(zone))
    except (OverflowError, TypeError, AttributeError):
        raise ValueError(f"{time} in UTC lies outside the years 1 to 9999 on the clock of {zone}") from None
