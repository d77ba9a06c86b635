"""Leases: who may act as controller. One holder at a time; a holder that dies loses it by time.

A lease says who should act; the decisions themselves are safe without it, as each one names the revision
it was planned on.
"""

from __future__ import annotations

import sqlalchemy as sa

from penstock.base.store.database import metadata, upsert

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("holder", sa.String(256), nullable=False),
    sa.Column("expires_ms", sa.BigInteger, nullable=False),
)


def acquire(connection: sa.Connection, name: str, holder: str, ttl_s: float, now_ms: int) -> bool:
    """Take a lease that is free, expired or already the holder's own, for `ttl_s`; whether it was got."""
    expires_ms = now_ms + int(ttl_s * 1000)
    connection.execute(
        upsert(connection.dialect.name, leases)
        .values(name=name, holder=holder, expires_ms=expires_ms)
        .on_conflict_do_nothing()
    )
    done = connection.execute(
        leases.update()
        .where(leases.c.name == name, (leases.c.holder == holder) | (leases.c.expires_ms <= now_ms))
        .values(holder=holder, expires_ms=expires_ms)
    )
    return done.rowcount == 1


def renew(connection: sa.Connection, name: str, holder: str, ttl_s: float, now_ms: int) -> bool:
    """Extend a lease one holds; False when it was lost."""
    done = connection.execute(
        leases.update()
        .where(leases.c.name == name, leases.c.holder == holder, leases.c.expires_ms > now_ms)
        .values(expires_ms=now_ms + int(ttl_s * 1000))
    )
    return done.rowcount == 1


def release(connection: sa.Connection, name: str, holder: str) -> None:
    """Give a lease back; nothing happens when somebody else holds it."""
    connection.execute(leases.delete().where(leases.c.name == name, leases.c.holder == holder))
