"""The wall clock, in the store's unit, and its times for people and machines.

A store may hold any 64-bit number as a time, since clients write them; what no calendar has stays a number.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Return the time in milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def find_moment(time_ms: float) -> datetime | None:
    """Return a time as a date, UTC, or None where no calendar has it: before the year 1, after 9999."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def format_ms(time_ms: int) -> str:
    """Render a time for people, to the second, UTC.

    Example:
        >>> format_ms(0), format_ms(2**62)
        ('1970-01-01 00:00:00Z', '4611686018427387904 ms')
    """
    moment = find_moment(time_ms)
    return f"{time_ms} ms" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")


def iso_ms(time_ms: int) -> str | None:
    """Render a time for machines, to the second, or None where no calendar has it.

    Example:
        >>> iso_ms(0), iso_ms(2**62)
        ('1970-01-01T00:00:00+00:00', None)
    """
    moment = find_moment(time_ms)
    return None if moment is None else moment.isoformat(timespec="seconds")
