"""The wall clock, in the store's unit."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Return the time in milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def format_ms(time_ms: int) -> str:
    """Render a time for people, to the second, UTC.

    Example:
        >>> format_ms(0)
        '1970-01-01 00:00:00Z'
    """
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
