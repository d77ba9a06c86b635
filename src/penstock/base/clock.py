"""The wall clock, in the store's unit, and its times for people and machines.

A store may hold any 64-bit number as a time, since clients write them; what no calendar has stays a number.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

_ahead_ms = 0
"""How far this machine's clock is ahead of the one that is followed."""

UNITS_MS = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
"""What may stand after a number in a span of time that somebody writes."""


def now_ms() -> int:
    """Return the time in milliseconds since the epoch, UTC, by the clock that this process follows."""
    return time.time_ns() // 1_000_000 - _ahead_ms


def machine_ms() -> int:
    """Return the time by this machine's own clock, whatever this process follows."""
    return time.time_ns() // 1_000_000


def followed_ms() -> int:
    """Return how far this machine's clock is ahead of the one that this process follows, 0 for its own."""
    return _ahead_ms


def follow_clock(ahead_ms: int) -> None:
    """Let `now_ms` tell the time of a clock that this machine's own is ahead of by `ahead_ms`.

    For the whole process: what it writes must fit what others write by the same clock.
    """
    global _ahead_ms  # noqa: PLW0603 - a process follows one clock
    _ahead_ms = ahead_ms


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
