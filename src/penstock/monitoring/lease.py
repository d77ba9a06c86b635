"""Leases: who may act as controller. One holder at a time; a holder that dies loses it by time, or at once to
another process of the same machine, which can see that it is gone.

A lease says who should act; the decisions themselves are safe without it, as each one names the revision
it was planned on.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict
from penstock.base.running import has_ended
from penstock.base.store.database import metadata, upsert

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("holder", sa.String(256), nullable=False),
    sa.Column("expires_ms", sa.BigInteger, nullable=False),
)


CONTROLLER = "controller"
"""The lease of the controller that acts."""
LEASE_S = 10.0
"""How long that one lasts after each sign of life."""
LOST = "monitoring.lease_lost"
"""The code of the error that another holder has it."""


@dataclass(frozen=True)
class Lease:
    """A lease as one holder uses it; `ttl_s` is how long it lasts after each sign of life.

    A holder is `NAME HOST`, where NAME is what `penstock.base.running.name_process` says of its process.
    """

    name: str
    holder: str
    ttl_s: float

    def acquire(self, connection: sa.Connection) -> bool:
        """Take it, or keep it; whether it was got."""
        return acquire(connection, self.name, self.holder, self.ttl_s, now_ms())

    def is_fresh(self, connection: sa.Connection) -> bool:
        """Say whether it is held for long enough that it need not be extended yet."""
        row = connection.execute(sa.select(leases).where(leases.c.name == self.name)).one_or_none()
        left_ms = 0 if row is None else row.expires_ms - now_ms()
        ttl_ms = int(self.ttl_s * 1000)
        return row is not None and row.holder == self.holder and ttl_ms // 2 < left_ms <= ttl_ms

    def keep(self, connection: sa.Connection) -> bool:
        """Extend it where nobody else took it; whether it is still one's own."""
        return renew(connection, self.name, self.holder, self.ttl_s, now_ms())

    def require(self, connection: sa.Connection) -> None:
        """Make sure that nobody else has it, in the transaction of what needs it, and extend it.

        One's own that ran out, and that nobody else took since, goes on.

        Raises:
            Conflict: it was lost.
        """
        if not self.keep(connection):
            raise Conflict(f"{self.holder} lost the lease {self.name} to another", code=LOST)

    def release(self, connection: sa.Connection) -> None:
        """Give it back."""
        release(connection, self.name, self.holder)


def acquire(connection: sa.Connection, name: str, holder: str, ttl_s: float, now_ms: int) -> bool:
    """Take a lease for `ttl_s` that is free, expired, of a process known to be gone, or the holder's own already.

    One that would last for more than two such times is of a clock that was set back since, and counts as expired.

    Returns:
        Whether it was got.
    """
    expires_ms = now_ms + int(ttl_s * 1000)
    connection.execute(
        upsert(connection.dialect.name, leases)
        .values(name=name, holder=holder, expires_ms=expires_ms)
        .on_conflict_do_nothing()
    )
    held_by = connection.scalar(sa.select(leases.c.holder).where(leases.c.name == name))
    gone = held_by if held_by is not None and has_ended(held_by.partition(" ")[0]) else holder
    done = connection.execute(
        leases.update()
        .where(
            leases.c.name == name,
            leases.c.holder.in_({holder, gone})
            | (leases.c.expires_ms <= now_ms)
            | (leases.c.expires_ms > _latest_ms(ttl_s, now_ms)),
        )
        .values(holder=holder, expires_ms=expires_ms)
    )
    return done.rowcount == 1


def ended_ms(connection: sa.Connection, name: str, ttl_s: float, now_ms: int) -> int | None:
    """Return when a lease of `ttl_s` ended of which the process is not known to be gone, None while it is held.

    0 where nobody has it, which is also said of one of a clock that was set back since: nobody kept it since then.
    """
    row = connection.execute(sa.select(leases).where(leases.c.name == name)).one_or_none()
    if row is None or has_ended(row.holder.partition(" ")[0]) or row.expires_ms > _latest_ms(ttl_s, now_ms):
        return 0
    return None if row.expires_ms > now_ms else int(row.expires_ms)


def _latest_ms(ttl_s: float, now_ms: int) -> int:
    """Return when a lease of `ttl_s` may end at the latest: a later end is of a clock that was set back since."""
    return now_ms + 2 * int(ttl_s * 1000)


def renew(connection: sa.Connection, name: str, holder: str, ttl_s: float, now_ms: int) -> bool:
    """Extend a lease that one took last, even one that ran out; False when another has taken it since, or nobody has it."""
    done = connection.execute(
        leases.update()
        .where(leases.c.name == name, leases.c.holder == holder)
        .values(expires_ms=now_ms + int(ttl_s * 1000))
    )
    return done.rowcount == 1


def release(connection: sa.Connection, name: str, holder: str) -> None:
    """Give a lease back; nothing happens when somebody else holds it."""
    connection.execute(leases.delete().where(leases.c.name == name, leases.c.holder == holder))
