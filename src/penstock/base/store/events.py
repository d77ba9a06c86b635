"""Events: the audit records of every decision, in the order they were made.

An event is written in the transaction of the decision it tells of, so there is never one without the
other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.store.database import metadata

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time_ms", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(512), nullable=False, index=True),
    sa.Column("actor", sa.String(256), nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("cause", sa.JSON, nullable=False),
    sa.Column("before", sa.JSON, nullable=False),
    sa.Column("after", sa.JSON, nullable=False),
)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One audit record.

    `kind` is `noun.verb` (`endpoint.rolled_back`), `subject` the entity it happened to
    (`endpoint:delay`), `actor` who did it (`person:ada`, `controller`, `ci`), `cause` its evidence.
    """

    id: int
    time_ms: int
    kind: str
    subject: str
    actor: str
    summary: str
    cause: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]


def record_event(
    connection: sa.Connection,
    kind: str,
    subject: str,
    actor: str,
    summary: str,
    *,
    cause: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> int:
    """Write one event in the caller's transaction and return its id.

    `cause`, `before` and `after` are JSON objects.
    """
    done = connection.execute(
        events.insert().values(
            time_ms=now_ms(),
            kind=kind,
            subject=subject,
            actor=actor,
            summary=summary,
            cause=dict(cause or {}),
            before=dict(before or {}),
            after=dict(after or {}),
        )
    )
    key = done.inserted_primary_key
    return int(key[0]) if key else 0


def check_writes(connection: sa.Connection) -> None:
    """Write nothing, as a store that takes no writes refuses too; it is said where the transaction ends."""
    columns = [one for one in events.c if one is not events.c.id]
    connection.execute(events.insert().from_select(columns, sa.select(*columns).where(sa.false())))


def list_events(
    connection: sa.Connection,
    *,
    subject: str | None = None,
    kind: str | None = None,
    after_id: int = 0,
    before_id: int | None = None,
    words: str = "",
    limit: int = 50,
) -> list[Event]:
    """Return the newest `limit` events with id above `after_id` (and below `before_id`), oldest first.

    Args:
        words: a part of what is told of an event, of its actor, subject or kind, in letters of either size.
    """
    query = sa.select(events).where(events.c.id > after_id)
    if before_id is not None:
        query = query.where(events.c.id < before_id)
    if subject is not None:
        query = query.where(events.c.subject == subject)
    if kind is not None:
        query = query.where(events.c.kind == kind)
    if words:
        told = events.c.summary + " " + events.c.actor + " " + events.c.subject + " " + events.c.kind
        # SQLite knows the sizes of ASCII letters alone
        sizes = dict.fromkeys((words, words.lower(), words.upper(), words.title()))
        query = query.where(sa.or_(*(told.icontains(one, autoescape=True) for one in sizes)))
    rows = connection.execute(query.order_by(events.c.id.desc()).limit(limit)).mappings()
    return [Event(**row) for row in reversed(list(rows))]


def list_kinds(connection: sa.Connection, after_id: int = 0) -> dict[str, int]:
    """Return every kind that an event with an id above `after_id` has, with the newest such id."""
    query = sa.select(events.c.kind, sa.func.max(events.c.id)).where(events.c.id > after_id)
    return {str(kind): int(newest) for kind, newest in connection.execute(query.group_by(events.c.kind))}
