"""What went wrong around endpoints in the last hour and is no finding about them: shown beside them until it is old."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.store.events import events

SHOWN_MS = 3_600_000
KINDS = frozenset({"controller.decision_lost", "endpoint.clock_differs"})


def told_lately(
    connection: sa.Connection, endpoints: Collection[str], time_ms: int
) -> dict[str, tuple[str, ...]]:
    """Return the newest such event of each kind, in words, by endpoint; nothing for the most."""
    subjects = {f"endpoint:{one}": one for one in endpoints}
    query = sa.select(events.c.subject, events.c.kind, events.c.time_ms, events.c.summary).where(
        events.c.subject.in_(subjects), events.c.kind.in_(KINDS), events.c.time_ms > time_ms - SHOWN_MS
    )
    newest: dict[tuple[str, str], str] = {}
    for row in connection.execute(query.order_by(events.c.id)):
        newest[subjects[row.subject], row.kind] = f"{format_ms(row.time_ms)}: {row.summary}"
    found: dict[str, tuple[str, ...]] = {}
    for (endpoint, _), words in sorted(newest.items()):
        found[endpoint] = (*found.get(endpoint, ()), words)
    return found
