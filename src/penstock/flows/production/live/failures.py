"""Requests of which only the counts are kept since what they held could not be summarised: told, with the cause.

Of requests that there was no room for, nothing stands here; that is `room`.
"""

from __future__ import annotations

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.numbers import counted
from penstock.base.store.events import list_events, record_event

KIND = "endpoint.not_summarised"
TOLD_EVERY_MS = 600_000
"""So long the same endpoint's failures are told once."""
WORDS_MAX = 300


class Failures:
    """What could not be summarised since it was last told. Not thread-safe; its recorder's lock keeps it."""

    def __init__(self, actor: str) -> None:
        self._actor = actor
        self._waiting: dict[str, tuple[int, str]] = {}
        self._told_ms: dict[str, int] = {}
        self._telling: dict[str, int] = {}

    def note(self, endpoint: str, count: int, error: Exception) -> None:
        """Take that requests could not be summarised."""
        before = self._waiting.get(endpoint, (0, ""))[0]
        self._waiting[endpoint] = (before + count, f"{type(error).__name__}: {error}"[:WORDS_MAX])

    def write(self, connection: sa.Connection) -> None:
        """Write an event of each endpoint whose failures were not told lately, in the caller's transaction."""
        time_ms = now_ms()
        self._telling = {}
        for endpoint, (count, words) in self._waiting.items():
            if abs(time_ms - self._told_ms.get(endpoint, -TOLD_EVERY_MS)) >= TOLD_EVERY_MS:
                self._telling[endpoint] = time_ms
                summary = f"of {counted(count, 'request')} of {endpoint} only the counts are kept: {words}"
                record_event(
                    connection, KIND, f"endpoint:{endpoint}", self._actor, summary, cause={"error": words}
                )

    def settle(self) -> None:
        """Note that the transaction was committed."""
        self._told_ms |= self._telling
        self._waiting.clear()


def find_failure(connection: sa.Connection, endpoint: str, since_ms: int) -> str | None:
    """Return why requests since a time could not be summarised; None where none failed."""
    newest = list_events(connection, kind=KIND, subject=f"endpoint:{endpoint}", limit=1)
    if not newest or newest[-1].time_ms < since_ms - TOLD_EVERY_MS:
        return None
    return str(newest[-1].cause.get("error", ""))
