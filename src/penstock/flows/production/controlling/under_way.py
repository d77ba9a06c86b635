"""What the store says of retrainings: what is told of each, and which have started and not ended. Starts and ends none."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from penstock.base.store.events import Event, events

STARTED, FINISHED = "retrain.started", "retrain.finished"
ENDED = ("retrain.failed", "retrain.nothing", FINISHED)
"""How a retraining ends by itself: its commit was tried."""
LOST, WAITING = "retrain.lost", "retrain.waiting"
REFUSED = "retrain.refused"
"""What it made does not go out, for good."""
HINDERED = "retrain.hindered"
"""Something keeps one from being started, or what it made from going out; it is tried again."""


def list_under_way(connection: sa.Connection, endpoints: Collection[str]) -> dict[str, Event]:
    """Return the event by which a retraining started, by endpoint, of those that have one that was not told to have ended."""
    newest = newest_of(connection, endpoints, (STARTED, *ENDED, LOST))
    return {name: event for name, event in newest.items() if event.kind == STARTED}


def newest_of(
    connection: sa.Connection, endpoints: Collection[str], kinds: Collection[str]
) -> dict[str, Event]:
    """Return the newest event of some kinds of each endpoint that has one."""
    subjects = {f"endpoint:{one}": one for one in endpoints}
    newest = (
        sa.select(sa.func.max(events.c.id))
        .where(events.c.subject.in_(subjects), events.c.kind.in_(kinds))
        .group_by(events.c.subject)
    )
    query = sa.select(events).where(events.c.id.in_(newest))
    return {subjects[row["subject"]]: Event(**row) for row in connection.execute(query).mappings()}


def is_under_way(connection: sa.Connection, endpoint: str, started_id: int) -> bool:
    """Say whether the retraining of an event was not told to have ended."""
    found = list_under_way(connection, [endpoint]).get(endpoint)
    return found is not None and found.id == started_id
