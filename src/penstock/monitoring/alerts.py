"""Alerts: what is told to people, from when it begins until it ends, and to whom it was told.

An alert is opened and closed in the transaction of the decision that it tells of; what is to be posted waits
in an outbox beside it, so that nothing is lost and nothing told before it is so. While one is open the same
is no news. What happens once, such as a rollback, is an alert that is not kept open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.digest import digest_value
from penstock.base.errors import Conflict
from penstock.base.numbers import counted
from penstock.base.store.database import metadata
from penstock.base.web.targets import host_of
from penstock.monitoring.settings import AlertFormat, Webhook

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("open_key", sa.String(64), unique=True),
    sa.Column("endpoint", sa.String(256), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("starts_ms", sa.BigInteger, nullable=False),
    sa.Column("clean_ms", sa.BigInteger),
    sa.Column("ends_ms", sa.BigInteger),
    sa.Column("event_id", sa.Integer),
    sa.Index("ix_alerts_endpoint_id", "endpoint", "id"),
)
deliveries = sa.Table(
    "alert_deliveries",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("alert_id", sa.ForeignKey("alerts.id"), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("format", sa.String(16), nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("attempt_count", sa.Integer, nullable=False),
    sa.Column("next_ms", sa.BigInteger, index=True),
    sa.Column("sent_ms", sa.BigInteger),
    sa.Column("problem", sa.Text),
)
Status = Literal["firing", "resolved"]
LONGEST_MS = 2 * 3_600_000
"""No delivery is put off for so long."""
MAX_PROBLEM = 500


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert is about: its name and the labels that tell it from others."""

    name: str
    endpoint: str
    labels: dict[str, str] = {}

    @property
    def all_labels(self) -> dict[str, str]:
        """The labels as they are sent."""
        return {"alertname": self.name, "endpoint": self.endpoint, **self.labels}

    @property
    def fingerprint(self) -> str:
        """What is the same for every alert about the same thing."""
        return digest_value(self.all_labels)[:16]


_CAPITAL = re.compile("(?<=[a-z])(?=[A-Z])")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert. `clean_ms` is since when what it tells of is well again, `ends_ms` when it was closed."""

    id: int
    fingerprint: str
    endpoint: str
    name: str
    labels: dict[str, str]
    summary: str
    starts_ms: int
    clean_ms: int | None = None
    ends_ms: int | None = None
    event_id: int | None = None

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return Subject(name=self.name, endpoint=self.endpoint, labels=self.labels)

    @property
    def words(self) -> str:
        """What it is called in a sentence: `guardrail breached`, `not rolled back`."""
        return _CAPITAL.sub(" ", self.name.removeprefix("Penstock")).lower()


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be posted, with the alert it tells of. Its id stays the same over all attempts."""

    id: int
    alert: Alert
    status: Status
    url: str
    format: AlertFormat
    attempt_count: int


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that does not take what it is posted, since when, and how much waits for it."""

    url: str
    format: AlertFormat
    problem: str
    since_ms: int
    waiting_count: int

    @property
    def sentence(self) -> str:
        """Say so, without what may be secret in the URL."""
        waiting = f"; {counted(self.waiting_count, 'alert')} waiting" if self.waiting_count else ""
        return (
            f"the {self.format} webhook at {host_of(self.url)} has not taken what it was posted since "
            f"{format_ms(self.since_ms)}: {self.problem}{waiting}"
        )


def open_alert(
    connection: sa.Connection,
    subject: Subject,
    summary: str,
    webhooks: Sequence[Webhook],
    *,
    time_ms: int,
    event_id: int | None = None,
    is_kept: bool = True,
) -> int:
    """Write an alert and note for every webhook that it is to be told; return its id.

    Args:
        is_kept: whether it stays open until it is closed; else it tells of something that happened once.

    Raises:
        Conflict: the same is open already.
    """
    values = {
        "fingerprint": subject.fingerprint,
        "open_key": subject.fingerprint if is_kept else None,
        "endpoint": subject.endpoint,
        "name": subject.name,
        "labels": subject.labels,
        "summary": summary,
        "starts_ms": time_ms,
        "ends_ms": None if is_kept else time_ms,
        "event_id": event_id,
    }
    try:
        done = connection.execute(alerts.insert().values(values))
    except sa.exc.IntegrityError:
        raise Conflict(
            f"{subject.name} of {subject.endpoint} was told at the same moment", code="monitoring.alert_open"
        ) from None
    alert_id = int(done.inserted_primary_key[0])  # type: ignore[index]
    _enqueue(connection, alert_id, "firing", webhooks, time_ms)
    return alert_id


def close_alert(
    connection: sa.Connection, alert_id: int, webhooks: Sequence[Webhook], *, time_ms: int
) -> None:
    """End an alert and note for every webhook that was to be told of it that it is over; nothing happens when it is ended."""
    done = connection.execute(
        alerts.update()
        .where(alerts.c.id == alert_id, alerts.c.ends_ms.is_(None))
        .values(ends_ms=time_ms, open_key=None)
    )
    if done.rowcount:
        begun = _told_of(connection, alert_id)
        told = [one for one in webhooks if (one.url, one.format) in begun]
        _enqueue(connection, alert_id, "resolved", told, time_ms)


def mark_clean(connection: sa.Connection, alert_id: int, clean_ms: int | None) -> None:
    """Note since when what an open alert tells of is well again; None: it is not."""
    connection.execute(alerts.update().where(alerts.c.id == alert_id).values(clean_ms=clean_ms))


def list_open_alerts(connection: sa.Connection, endpoint: str | None = None) -> list[Alert]:
    """Return the alerts that are open, of one endpoint or of all, oldest first."""
    query = sa.select(alerts).where(alerts.c.open_key.is_not(None))
    if endpoint is not None:
        query = query.where(alerts.c.endpoint == endpoint)
    return [_alert(row) for row in connection.execute(query.order_by(alerts.c.id)).mappings()]


def has_due(connection: sa.Connection, time_ms: int) -> bool:
    """Say whether anything is to be posted now."""
    query = sa.select(deliveries.c.id).where(_is_due(time_ms)).limit(1)
    return connection.execute(query).first() is not None


def find_oldest_ms(connection: sa.Connection) -> int | None:
    """Return when the oldest was written that still waits to be taken, None where nothing waits."""
    oldest = sa.select(sa.func.min(deliveries.c.created_ms)).where(deliveries.c.next_ms.is_not(None))
    found: int | None = connection.execute(oldest).scalar()
    return found


def _is_due(time_ms: int) -> sa.ColumnElement[bool]:
    """What waits for longer than anything is put off was put off before the clock was set back."""
    next_ms = deliveries.c.next_ms
    return (next_ms <= time_ms) | (next_ms > time_ms + LONGEST_MS)


def claim_due(connection: sa.Connection, time_ms: int, until_ms: int, limit: int = 20) -> list[Delivery]:
    """Return what is due, oldest first, and keep it from others until a time.

    What is neither finished nor put off by then is due again. That something is over is not due before
    its beginning was told there or given up.
    """
    columns = deliveries.c
    earlier = deliveries.alias()
    waits = sa.exists().where(
        earlier.c.alert_id == columns.alert_id,
        earlier.c.url == columns.url,
        earlier.c.format == columns.format,
        earlier.c.id < columns.id,
        earlier.c.next_ms.is_not(None),
    )
    due = sa.select(deliveries).where(_is_due(time_ms), ~waits).order_by(columns.id).limit(limit)
    rows = list(connection.execute(due.with_for_update(skip_locked=True)).mappings())
    if not rows:
        return []
    taken = columns.id.in_([row["id"] for row in rows])
    connection.execute(deliveries.update().where(taken).values(next_ms=until_ms))
    of_ids = sa.select(alerts).where(alerts.c.id.in_({row["alert_id"] for row in rows}))
    known = {row["id"]: _alert(row) for row in connection.execute(of_ids).mappings()}
    return [
        Delivery(
            id=row["id"],
            alert=known[row["alert_id"]],
            status=row["status"],
            url=row["url"],
            format=row["format"],
            attempt_count=row["attempt_count"],
        )
        for row in rows
    ]


def finish_delivery(connection: sa.Connection, delivery: Delivery, time_ms: int) -> None:
    """Note that a receiver took what it was told."""
    connection.execute(
        deliveries.update()
        .where(deliveries.c.id == delivery.id)
        .values(next_ms=None, sent_ms=time_ms, attempt_count=delivery.attempt_count + 1, problem=None)
    )


def put_off_delivery(
    connection: sa.Connection, delivery: Delivery, problem: str, next_ms: int | None
) -> None:
    """Note why a delivery failed, and when it is tried again; None gives it up."""
    connection.execute(
        deliveries.update()
        .where(deliveries.c.id == delivery.id)
        .values(attempt_count=delivery.attempt_count + 1, next_ms=next_ms, problem=problem[:MAX_PROBLEM])
    )


def was_begun(connection: sa.Connection, delivery: Delivery) -> bool:
    """Say whether the receiver of a delivery knows of a beginning: the last that it took of this fingerprint is one."""
    columns = deliveries.c
    last = sa.select(columns.status).where(
        columns.alert_id.in_(_of_fingerprint(delivery.alert)), *_to(delivery), columns.sent_ms.is_not(None)
    )
    return connection.execute(last.order_by(columns.id.desc()).limit(1)).scalar() == "firing"


def fires_again(connection: sa.Connection, delivery: Delivery) -> bool:
    """Say whether the receiver of a delivery is, or was, told of a newer alert of the same fingerprint."""
    newer = _of_fingerprint(delivery.alert).where(alerts.c.id > delivery.alert.id)
    told = sa.select(deliveries.c.id).where(deliveries.c.alert_id.in_(newer), *_to(delivery))
    return connection.execute(told.limit(1)).first() is not None


def _of_fingerprint(alert: Alert) -> sa.Select[tuple[int]]:
    return sa.select(alerts.c.id).where(
        alerts.c.endpoint == alert.endpoint, alerts.c.fingerprint == alert.fingerprint
    )


def _to(delivery: Delivery) -> tuple[sa.ColumnElement[bool], ...]:
    return deliveries.c.url == delivery.url, deliveries.c.format == delivery.format


def readdress(
    connection: sa.Connection, delivery: Delivery, webhooks: Sequence[Webhook], time_ms: int
) -> None:
    """Note for webhooks that nobody told of an alert that they are to be; not of one that began and is over."""
    alert = delivery.alert
    if delivery.status == "firing" and alert.ends_ms in (None, alert.starts_ms):
        begun = _told_of(connection, alert.id)
        new = [one for one in webhooks if (one.url, one.format) not in begun]
        _enqueue(connection, alert.id, "firing", new, time_ms)


def list_failing(connection: sa.Connection) -> dict[str, list[Failing]]:
    """Return the webhooks, by endpoint, that did not take what they were posted last."""
    columns = deliveries.c
    tried = (
        sa.select(sa.func.max(columns.id))
        .join(alerts, alerts.c.id == columns.alert_id)
        .where(columns.attempt_count > 0)
        .group_by(alerts.c.endpoint, columns.url, columns.format)
    )
    last = (
        sa.select(alerts.c.endpoint, columns.url, columns.format, columns.problem, columns.created_ms)
        .join(alerts, alerts.c.id == columns.alert_id)
        .where(columns.id.in_(tried), columns.problem.is_not(None))
        .order_by(columns.id)
    )
    found: dict[str, list[Failing]] = {}
    for row in connection.execute(last):
        since = (
            sa.select(sa.func.min(columns.created_ms), sa.func.count())
            .join(alerts, alerts.c.id == columns.alert_id)
            .where(
                alerts.c.endpoint == row.endpoint,
                columns.url == row.url,
                columns.format == row.format,
                columns.sent_ms.is_(None),
                columns.next_ms.is_not(None),
            )
        )
        since_ms, count = connection.execute(since).one()
        one = Failing(
            url=row.url,
            format=row.format,
            problem=row.problem,
            since_ms=row.created_ms if since_ms is None else since_ms,
            waiting_count=count,
        )
        found.setdefault(row.endpoint, []).append(one)
    return found


def _told_of(connection: sa.Connection, alert_id: int) -> set[tuple[str, str]]:
    """Return the URLs and formats of those who are told that an alert began."""
    query = sa.select(deliveries.c.url, deliveries.c.format).where(
        deliveries.c.alert_id == alert_id, deliveries.c.status == "firing"
    )
    return {(row.url, row.format) for row in connection.execute(query)}


def _enqueue(
    connection: sa.Connection, alert_id: int, status: Status, webhooks: Sequence[Webhook], time_ms: int
) -> None:
    rows: list[Mapping[str, Any]] = [
        {
            "alert_id": alert_id,
            "status": status,
            "url": one.url,
            "format": one.format,
            "created_ms": time_ms,
            "attempt_count": 0,
            "next_ms": time_ms,
        }
        for one in webhooks
    ]
    if rows:
        connection.execute(deliveries.insert(), rows)


def _alert(row: Any) -> Alert:
    return msgspec.convert({str(key): value for key, value in row.items() if key != "open_key"}, Alert)
