"""Labels that came before their prediction was stored, kept until it is, for a bounded time and number.

A service of one's own that could not reach the store tells of its calls late, a serve process writes its answers every
second, and who knows the truth may be faster than both. What is given up is counted by the reason. Joining them is in
`penstock.flows.production.live.joining`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, get_args

import msgspec
import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.base.numbers import counted
from penstock.base.store.database import metadata, upsert

waiting = sa.Table(
    "waiting_labels",
    metadata,
    sa.Column("prediction_id", sa.String(40), primary_key=True),
    sa.Column("endpoint", sa.String(256), primary_key=True),
    sa.Column("received_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("label_values", sa.LargeBinary, nullable=False),
    sa.Column("sent_by", sa.String(128)),
    sa.Index("ix_waiting_labels_endpoint_received_ms", "endpoint", "received_ms"),
)
lost = sa.Table(
    "lost_labels",
    metadata,
    sa.Column("endpoint", sa.String(256), primary_key=True),
    sa.Column("day_s", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("reason", sa.String(16), primary_key=True),
    sa.Column("lost_count", sa.BigInteger, nullable=False),
)
KEPT_MS = 7 * 86_400_000
"""So long a label waits; a prediction older than that is not expected any more."""
WAITING_MAX = 100_000
"""So many wait for one endpoint, about 20 MB."""
TOLD_S = 7 * 86_400
"""How far back it is told what was given up."""
DAY_S = 86_400
BATCH_COUNT = 500
Reason = Literal["expired", "misfit", "full"]
REASONS: tuple[Reason, ...] = get_args(Reason)
WORDS: Mapping[str, str] = {
    "expired": "their predictions never came",
    "misfit": "they did not fit the predictions that came",
    "full": f"{WAITING_MAX:,} were waiting already",
}


class WaitingLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A label as it came, of a prediction that is not stored yet."""

    prediction_id: str
    received_ms: int
    endpoint: str
    values: list[Any]
    sent_by: str | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """How many labels of an endpoint wait for their predictions, since when, and what was given up.

    `lost` counts by reason over the last `TOLD_S`, `lost_ever` since the endpoint was made.
    """

    count: int = 0
    oldest_ms: int | None = None
    lost: dict[str, int] = {}
    lost_ever: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.count or self.lost)

    @property
    def sentence(self) -> str:
        """Say it in words; empty where nothing waits and nothing was lost."""
        parts = []
        if self.count:
            since = "" if self.oldest_ms is None else f", the oldest since {format_ms(self.oldest_ms)}"
            parts.append(
                f"{counted(self.count, 'label waits', 'labels wait')} for predictions that are not stored yet{since}"
            )
        if self.lost:
            total = counted(sum(self.lost.values()), "label was", "labels were")
            why = ", ".join(f"{self.lost[one]} since {WORDS[one]}" for one in REASONS if self.lost.get(one))
            parts.append(f"{total} given up in the last {TOLD_S // DAY_S} days: {why}")
        return "; ".join(parts)


def add_waiting(connection: sa.Connection, rows: Iterable[WaitingLabel]) -> None:
    """Keep labels whose predictions are not there; of two that come at once the later one holds."""
    values = [
        {
            "prediction_id": row.prediction_id,
            "received_ms": row.received_ms,
            "endpoint": row.endpoint,
            "label_values": msgspec.json.encode(row.values),
            "sent_by": row.sent_by,
        }
        for row in rows
    ]
    if not values:
        return
    insert = upsert(connection.dialect.name, waiting)
    keys = [column.name for column in waiting.primary_key.columns]
    newer = {name: insert.excluded[name] for name in ("label_values", "sent_by")}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=newer), values)


def list_waiting(connection: sa.Connection, endpoint: str, ids: Collection[str]) -> list[WaitingLabel]:
    """Return what waits for these predictions of an endpoint, oldest first."""
    found: list[WaitingLabel] = []
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), BATCH_COUNT):
        part = ordered[start : start + BATCH_COUNT]
        query = sa.select(waiting).where(waiting.c.endpoint == endpoint, waiting.c.prediction_id.in_(part))
        found += [
            WaitingLabel(
                prediction_id=row.prediction_id,
                received_ms=row.received_ms,
                endpoint=row.endpoint,
                values=msgspec.json.decode(row.label_values),
                sent_by=row.sent_by,
            )
            for row in connection.execute(query.order_by(waiting.c.received_ms))
        ]
    return found


def ids_between(connection: sa.Connection, first: str, last: str) -> list[str]:
    """Return the predictions from `first` to `last` that labels wait for; ids sort by their time."""
    query = sa.select(waiting.c.prediction_id).where(waiting.c.prediction_id.between(first, last))
    return list(connection.execute(query.distinct()).scalars())


def ids_since(connection: sa.Connection, since_ms: int, limit: int) -> dict[str, list[str]]:
    """Return by endpoint the predictions of labels that came since a time, the newest first."""
    query = sa.select(waiting.c.endpoint, waiting.c.prediction_id).where(waiting.c.received_ms >= since_ms)
    found: dict[str, list[str]] = {}
    for row in connection.execute(query.order_by(waiting.c.received_ms.desc()).limit(limit)):
        found.setdefault(row.endpoint, []).append(row.prediction_id)
    return found


def count_waiting(connection: sa.Connection, endpoint: str) -> int:
    """Return how many labels of an endpoint wait."""
    query = sa.select(sa.func.count()).select_from(waiting).where(waiting.c.endpoint == endpoint)
    return int(connection.execute(query).scalar_one())


def delete_waiting(connection: sa.Connection, endpoint: str, ids: Collection[str]) -> None:
    """Forget what waits for these predictions of an endpoint."""
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), BATCH_COUNT):
        part = ordered[start : start + BATCH_COUNT]
        mine = (waiting.c.endpoint == endpoint, waiting.c.prediction_id.in_(part))
        connection.execute(waiting.delete().where(*mine))


def expire_waiting(connection: sa.Connection, time_ms: int) -> int:
    """Give up what waits for longer than `KEPT_MS`, and count it; return how many."""
    old = waiting.c.received_ms < time_ms - KEPT_MS
    query = sa.select(waiting.c.endpoint, sa.func.count()).where(old).group_by(waiting.c.endpoint)
    counts = {(endpoint, "expired"): int(count) for endpoint, count in connection.execute(query)}
    if counts:
        connection.execute(waiting.delete().where(old))
        add_lost(connection, counts, time_ms)
    return sum(counts.values())


def add_lost(connection: sa.Connection, counts: Mapping[tuple[str, str], int], time_ms: int) -> None:
    """Count labels that were given up, by endpoint and reason."""
    day_s = time_ms // 1000 // DAY_S * DAY_S
    rows = [
        {"endpoint": endpoint, "day_s": day_s, "reason": reason, "lost_count": count}
        for (endpoint, reason), count in sorted(counts.items())
        if count
    ]
    if not rows:
        return
    insert = upsert(connection.dialect.name, lost)
    more = {"lost_count": lost.c.lost_count + insert.excluded.lost_count}
    keys = [column.name for column in lost.primary_key.columns]
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=more), rows)


def tell_waiting(connection: sa.Connection, time_ms: int) -> dict[str, Waiting]:
    """Return by endpoint what waits and what was given up; an endpoint without either is not there."""
    query = sa.union_all(
        sa.select(
            waiting.c.endpoint,
            sa.literal("").label("reason"),
            sa.func.count(),
            sa.func.min(waiting.c.received_ms),
        ).group_by(waiting.c.endpoint),
        sa.select(lost.c.endpoint, lost.c.reason, lost.c.lost_count, lost.c.day_s),
    )
    now: dict[str, tuple[int, int]] = {}
    recent: dict[str, Counter[str]] = {}
    ever: dict[str, Counter[str]] = {}
    for endpoint, reason, count, since in connection.execute(query):
        if not reason:
            now[endpoint] = (int(count), int(since))
            continue
        ever.setdefault(endpoint, Counter())[reason] += int(count)
        if since + DAY_S > time_ms // 1000 - TOLD_S:
            recent.setdefault(endpoint, Counter())[reason] += int(count)
    found = {}
    for endpoint in {*now, *ever}:
        many, oldest_ms = now.get(endpoint, (0, None))
        found[endpoint] = Waiting(
            count=many,
            oldest_ms=oldest_ms,
            lost=dict(recent.get(endpoint, {})),
            lost_ever=dict(ever.get(endpoint, {})),
        )
    return found
