"""Spans of time that an address asks for: by name, or from one moment to another."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.base.errors import Invalid
from penstock.http.pages.queries import Query, refusal
from penstock.registry.references import parse_time

SPANS = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "all": 0}
"""What the time range of the address may be, in seconds; 0 for the newest windows, however old."""


@dataclass(frozen=True)
class Range:
    """A span of time that an address asks for with `from` and `to`, in UTC; texts as they were written."""

    since: str = ""
    until: str = ""
    since_s: int = 0
    until_s: int | None = None

    @property
    def is_set(self) -> bool:
        """Whether the address names one."""
        return bool(self.since_s or self.until_s)


def chosen_range(query: Query) -> Range:
    """Return the span of `?from=…&to=…`.

    Raises:
        Invalid: one is no time, or the end is not after the beginning.
    """
    since_ms, until_ms = (_time_ms(query, name) for name in ("from", "to"))
    if until_ms is not None and until_ms // 1000 <= (since_ms or 0) // 1000:
        raise refusal("to", "is not after the beginning")
    until_s = None if until_ms is None else until_ms // 1000
    return Range(query["from"], query["to"], (since_ms or 0) // 1000, until_s)


def _time_ms(query: Query, name: str) -> int | None:
    try:
        return parse_time(query[name]) if query[name] else None
    except Invalid:
        raise refusal(
            name, f"is a date or a time in UTC, not {query[name][:60]!r}", "2026-11-03T10:00"
        ) from None
