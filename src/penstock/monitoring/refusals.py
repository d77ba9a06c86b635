"""Requests that an endpoint refused for a mistake of who asked, counted by the minute and the error's code.

They reach no model, so windows and guardrails know nothing of them; a client that sends nothing else looks like no traffic.
What was sent is not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from penstock.base.store.database import metadata, upsert

refusals = sa.Table(
    "refusals",
    metadata,
    sa.Column("endpoint", sa.String(256), primary_key=True),
    sa.Column("start_s", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("code", sa.String(64), primary_key=True),
    sa.Column("refused_count", sa.BigInteger, nullable=False),
    sa.Index("ix_refusals_start_s", "start_s"),
)
MINUTE_S = 60
RECENT_S = 3_600
"""How far back what is told goes."""
KEPT_S = 7 * 86_400
CODE_MAX = 64


class Refusal(msgspec.Struct, frozen=True, order=True):
    """One kind of request that was refused: in which minute, where, and the code of the error."""

    endpoint: str
    start_s: int
    code: str

    @staticmethod
    def at(endpoint: str, time_ms: int, code: str) -> Refusal:
        """Return the kind of a request that was refused at a time."""
        return Refusal(endpoint, time_ms // 1000 // MINUTE_S * MINUTE_S, code[:CODE_MAX])


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests were refused with one code."""

    code: str
    count: int


def add_refusals(connection: sa.Connection, counts: Mapping[Refusal, int]) -> None:
    """Add what was counted to what is there."""
    if not counts:
        return
    insert = upsert(connection.dialect.name, refusals)
    more = {"refused_count": refusals.c.refused_count + insert.excluded.refused_count}
    keys = [column.name for column in refusals.primary_key.columns]
    rows = [{**msgspec.structs.asdict(one), "refused_count": counts[one]} for one in sorted(counts)]
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=more), rows)


def list_refused(
    connection: sa.Connection, since_s: int, *, endpoint: str | None = None, until_s: int | None = None
) -> dict[str, tuple[Refused, ...]]:
    """Return by endpoint (all, or one) what was refused since a time, the most frequent first."""
    total = sa.func.sum(refusals.c.refused_count).label("total")
    query = sa.select(refusals.c.endpoint, refusals.c.code, total).where(refusals.c.start_s >= since_s)
    if endpoint is not None:
        query = query.where(refusals.c.endpoint == endpoint)
    if until_s is not None:
        query = query.where(refusals.c.start_s <= until_s)
    found: dict[str, Counter[str]] = {}
    for row in connection.execute(query.group_by(refusals.c.endpoint, refusals.c.code)):
        found.setdefault(row.endpoint, Counter())[row.code] = int(row.total)
    return {
        endpoint: tuple(
            Refused(code=code, count=count)
            for code, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        )
        for endpoint, counts in found.items()
    }


def refused_sentence(found: tuple[Refused, ...]) -> str:
    """Say it in words; empty where nothing was refused."""
    if not found:
        return ""
    count = sum(one.count for one in found)
    what = "1 request was" if count == 1 else f"{count:,} requests were"
    return f"{what} refused in the last hour: {', '.join(f'{one.count} × {one.code}' for one in found)}"


def forget_refusals(connection: sa.Connection, before_s: int) -> None:
    """Forget what was counted before a time."""
    connection.execute(refusals.delete().where(refusals.c.start_s < before_s))
