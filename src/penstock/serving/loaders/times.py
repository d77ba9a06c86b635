"""Texts of dates and times as numpy's, in UTC where they name an offset."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from penstock.serving.loaders.model import Array

_WITH_OFFSET = re.compile(r".*\d[T ]\d\d.*(?:Z|[+-]\d\d(?::?\d\d)?)", re.ASCII)


def as_times(values: Iterable[Any]) -> Array:
    """Return ISO 8601 texts as `datetime64[us]`, None as not a time.

    Raises:
        ValueError: one is no date or time.

    Example:
        >>> as_times(["2026-11-28T08:30:00+02:00", None]).astype(str).tolist()
        ['2026-11-28T06:30:00.000000', 'NaT']
    """
    return np.array([_without_offset(value) for value in values], dtype="datetime64[us]")


def _without_offset(value: Any) -> Any:
    """Return a text in UTC without its offset, of which numpy warns on every value."""
    if not isinstance(value, str) or not _WITH_OFFSET.fullmatch(value):
        return value
    return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
