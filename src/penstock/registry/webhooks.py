"""Webhooks of the registry: who is told of which change, and what has still to be sent.

A change writes what is to be sent in its own transaction (`announce`), so nothing is sent of a change that
did not happen, and nothing that happened is forgotten. Sending is `penstock.flows.models.webhooks`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms, now_ms
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.numbers import counted
from penstock.base.store.events import record_event
from penstock.base.web.targets import host_of
from penstock.registry.tables import webhook_deliveries, webhooks

Status = Literal["ACTIVE", "DISABLED"]
EVENTS = frozenset(
    {
        "registered_model.created",
        "model_version.created",
        "model_version_tag.set",
        "model_version_tag.deleted",
        "model_version_alias.created",
        "model_version_alias.deleted",
    }
)
MAX_URL = 2048
MAX_TEXT = 1000
GIVEN_UP_MS = 7 * 86_400_000
"""So long after a change its being given up tells that a webhook fails."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where changes are posted; `secret` signs them and is never shown."""

    id: str
    name: str
    url: str
    events: tuple[str, ...]
    status: Status
    created_ms: int
    updated_ms: int
    description: str | None = None
    secret: str | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One change that one webhook is to be told of; `attempt_count` is how often it was tried."""

    id: int
    webhook: Webhook
    entity: str
    action: str
    payload: dict[str, Any]
    created_ms: int
    attempt_count: int


def check_webhook(webhook: Webhook) -> Webhook:
    """Return a webhook when it can be one; its address is checked where addresses are resolved.

    Raises:
        Invalid: name, events or a length cannot be such.
    """
    if not _NAME.match(webhook.name):
        raise _bad(
            f"Webhook name {webhook.name[:100]!r} is invalid. It must start and end with a letter or digit, be "
            "less than 63 characters long, and contain only letters, digits, dots (.), underscores (_), and "
            "hyphens (-)."
        )
    unknown = sorted(set(webhook.events) - EVENTS)
    if unknown or not webhook.events:
        raise _bad(
            f"Webhook events must be a non-empty list of: {', '.join(sorted(EVENTS))}"
            + (f"; not {unknown[0]}" if unknown else "")
        )
    texts = (webhook.description or "", webhook.secret or "")
    if len(webhook.url) > MAX_URL or any(len(text) > MAX_TEXT for text in texts):
        raise _bad(f"url may have {MAX_URL} characters, description and secret {MAX_TEXT}")
    return webhook


def add_webhook(connection: sa.Connection, webhook: Webhook, actor: str) -> Webhook:
    """Write a new webhook; its id and times are set here.

    Raises:
        Conflict: there is one of this name.
        Invalid: it cannot be one.
    """
    time_ms = now_ms()
    made = msgspec.structs.replace(
        check_webhook(webhook), id=str(uuid.uuid4()), created_ms=time_ms, updated_ms=time_ms
    )
    _check_name_free(connection, made)
    connection.execute(webhooks.insert().values(**msgspec.to_builtins(made)))
    record_event(connection, "webhook.created", f"webhook:{made.name}", actor, f"changes go to {made.name}")
    return made


def change_webhook(connection: sa.Connection, webhook: Webhook, actor: str) -> Webhook:
    """Write a webhook's new state.

    Raises:
        Conflict: another has its name.
        Invalid: it cannot be one.
    """
    made = msgspec.structs.replace(check_webhook(webhook), updated_ms=now_ms())
    _check_name_free(connection, made)
    values = msgspec.to_builtins(made)
    connection.execute(webhooks.update().where(webhooks.c.id == made.id).values(**values))
    record_event(connection, "webhook.changed", f"webhook:{made.name}", actor, f"{made.name} was changed")
    return made


def get_webhook(connection: sa.Connection, webhook_id: str) -> Webhook:
    """Return a webhook.

    Raises:
        NotFound: there is none.
    """
    query = sa.select(webhooks).where(webhooks.c.id == webhook_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(
            f"Webhook with ID {webhook_id} not found.", code="registry.no_webhook", webhook=webhook_id
        )
    return _webhook(row)


def list_webhooks(connection: sa.Connection, limit: int = 100, offset: int = 0) -> list[Webhook]:
    """Return webhooks, the newest first."""
    query = sa.select(webhooks).order_by(webhooks.c.created_ms.desc(), webhooks.c.id)
    return [_webhook(row) for row in connection.execute(query.limit(limit).offset(offset)).mappings()]


def delete_webhook(connection: sa.Connection, webhook_id: str, actor: str) -> None:
    """Take a webhook away, with what was not sent yet.

    Raises:
        NotFound: there is none.
    """
    webhook = get_webhook(connection, webhook_id)
    connection.execute(webhook_deliveries.delete().where(webhook_deliveries.c.webhook_id == webhook_id))
    connection.execute(webhooks.delete().where(webhooks.c.id == webhook_id))
    record_event(
        connection, "webhook.deleted", f"webhook:{webhook.name}", actor, f"{webhook.name} is told no more"
    )


def announce(connection: sa.Connection, event: str, payload: Mapping[str, Any]) -> None:
    """Note for every active webhook that wants this event that it is to be told.

    Args:
        event: one of `EVENTS`.
    """
    active = sa.select(webhooks.c.id, webhooks.c.events).where(webhooks.c.status == "ACTIVE")
    ids = [row.id for row in connection.execute(active) if event in row.events]
    if not ids:
        return
    entity, _, action = event.partition(".")
    time_ms = now_ms()
    rows = [
        {
            "webhook_id": one,
            "entity": entity,
            "action": action,
            "payload": dict(payload),
            "created_ms": time_ms,
            "attempt_count": 0,
            "next_ms": time_ms,
        }
        for one in ids
    ]
    connection.execute(webhook_deliveries.insert(), rows)


def has_due(connection: sa.Connection, time_ms: int) -> bool:
    """Say whether anything is to be sent now."""
    query = sa.select(webhook_deliveries.c.id).where(webhook_deliveries.c.next_ms <= time_ms).limit(1)
    return connection.execute(query).first() is not None


def claim_deliveries(
    connection: sa.Connection, time_ms: int, until_ms: int, limit: int = 20
) -> list[Delivery]:
    """Return what is due, the oldest first, and keep it from others until a time.

    What is neither finished nor put off by then is due again.
    """
    columns = webhook_deliveries.c
    due = sa.select(webhook_deliveries).where(columns.next_ms <= time_ms).order_by(columns.id).limit(limit)
    rows = list(connection.execute(due.with_for_update(skip_locked=True)).mappings())
    if not rows:
        return []
    ids = [row["id"] for row in rows]
    connection.execute(webhook_deliveries.update().where(columns.id.in_(ids)).values(next_ms=until_ms))
    known = {one.id: one for one in _of_ids(connection, {row["webhook_id"] for row in rows})}
    return [
        Delivery(
            id=row["id"],
            webhook=known[row["webhook_id"]],
            entity=row["entity"],
            action=row["action"],
            payload=row["payload"],
            created_ms=row["created_ms"],
            attempt_count=row["attempt_count"],
        )
        for row in rows
    ]


def find_oldest_ms(connection: sa.Connection) -> int | None:
    """Return when the oldest was written that still waits to be taken, None where nothing waits."""
    columns = webhook_deliveries.c
    oldest = sa.select(sa.func.min(columns.created_ms)).where(columns.next_ms.is_not(None))
    found: int | None = connection.execute(oldest).scalar()
    return found


def list_failing_webhooks(connection: sa.Connection) -> list[str]:
    """Say which active webhooks did not take what they were posted, since when, and why; nothing that may be secret.

    What was given up counts for `GIVEN_UP_MS` after it was written: what is older says nothing of how the webhook is now.
    """
    columns = webhook_deliveries.c
    counts = columns.next_ms.is_not(None) | (columns.created_ms > now_ms() - GIVEN_UP_MS)
    tried = (
        sa.select(
            columns.webhook_id,
            sa.func.min(columns.created_ms).label("since_ms"),
            sa.func.max(columns.id).label("last"),
            sa.func.count(columns.next_ms).label("waiting"),
            sa.func.count().label("all"),
        )
        .where(columns.attempt_count > 0, columns.problem.is_not(None), counts)
        .group_by(columns.webhook_id)
        .subquery()
    )
    query = (
        sa.select(webhooks.c.name, webhooks.c.url, columns.problem, tried)
        .join(tried, tried.c.webhook_id == webhooks.c.id)
        .join(webhook_deliveries, columns.id == tried.c.last)
        .where(webhooks.c.status == "ACTIVE")
        .order_by(webhooks.c.name)
    )
    return [_failing(row) for row in connection.execute(query).mappings()]


def _failing(row: Any) -> str:
    given_up = row["all"] - row["waiting"]
    counts = [
        *([f"{counted(row['waiting'], 'change')} waiting"] if row["waiting"] else []),
        *([f"{counted(given_up, 'change')} given up"] if given_up else []),
    ]
    return (
        f"the webhook {row['name']} at {host_of(row['url'])} has not taken what it was posted since "
        f"{format_ms(row['since_ms'])}: {row['problem']}; {', '.join(counts)}"
    )


def finish_delivery(connection: sa.Connection, delivery: Delivery, *, is_taken: bool = True) -> None:
    """Note that a webhook took what it was told, or need not be told any more.

    What was given up before stays as an event only: whoever takes things again is not told as failing any more.
    """
    columns = webhook_deliveries.c
    done = columns.id == delivery.id
    if is_taken:
        done |= (columns.webhook_id == delivery.webhook.id) & columns.next_ms.is_(None)
    connection.execute(webhook_deliveries.delete().where(done))


def put_off_delivery(
    connection: sa.Connection, delivery: Delivery, problem: str, next_ms: int | None, actor: str
) -> None:
    """Note why a delivery failed, and when it is tried again; None gives up, which is an event."""
    connection.execute(
        webhook_deliveries.update()
        .where(webhook_deliveries.c.id == delivery.id)
        .values(attempt_count=delivery.attempt_count + 1, next_ms=next_ms, problem=problem[:MAX_TEXT])
    )
    if next_ms is None:
        record_event(
            connection,
            "webhook.failed",
            f"webhook:{delivery.webhook.name}",
            actor,
            f"{delivery.webhook.name} was not told of {delivery.entity}.{delivery.action}: {problem[:200]}",
            cause={"payload": delivery.payload, "attempts": delivery.attempt_count + 1},
        )


def _of_ids(connection: sa.Connection, ids: set[str]) -> Sequence[Webhook]:
    query = sa.select(webhooks).where(webhooks.c.id.in_(sorted(ids)))
    return [_webhook(row) for row in connection.execute(query).mappings()]


def _check_name_free(connection: sa.Connection, webhook: Webhook) -> None:
    same = sa.select(webhooks.c.id).where(webhooks.c.name == webhook.name, webhooks.c.id != webhook.id)
    if connection.execute(same).first() is not None:
        raise Conflict(f"Webhook (name={webhook.name}) already exists.", code="registry.webhook.exists")


def _webhook(row: Any) -> Webhook:
    return msgspec.convert({str(key): value for key, value in row.items()}, Webhook)


def _bad(message: str) -> Invalid:
    return Invalid(message, code="registry.bad_webhook")
