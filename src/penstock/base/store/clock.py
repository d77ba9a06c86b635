"""The clock of a store that several hosts share: windows, leases and beats of all of them go by it.

Hosts' own clocks differ. By its own, a host that is minutes behind would look dead to the others, and what it
saw would belong to another time than what they saw. SQLite has no clock of its own: its host's is everybody's.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from penstock.base.clock import follow_clock, followed_ms, machine_ms
from penstock.base.store.database import Database

logger = logging.getLogger(__name__)
IN_STEP_MS = 1_000
"""Clocks that differ by less are in step; a difference that changed by less is the same."""
_NOW = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")


def keep_in_step(database: Database) -> int:
    """Let this process follow the store's clock; return by how many milliseconds the host's own is ahead, 0 when in step.

    A difference that is new is logged once.

    Raises:
        Unavailable: the store cannot be reached.
    """
    if database.engine.dialect.name != "postgresql":
        return 0
    with database.read() as connection:
        connection.execute(_NOW)  # the first use of a connection takes longer
        asked_ms = machine_ms()
        store_ms = int(connection.execute(_NOW).scalar_one())
        told_ms = machine_ms()
    ahead_ms, known_ms = (asked_ms + told_ms) // 2 - store_ms, followed_ms()
    if abs(ahead_ms) < IN_STEP_MS:
        ahead_ms = 0
    if told_ms - asked_ms > IN_STEP_MS or abs(ahead_ms - known_ms) < IN_STEP_MS:
        return known_ms
    follow_clock(ahead_ms)
    logger.warning("%s", tell_difference(ahead_ms) or "this host's clock is in step with the store's again")
    return ahead_ms


def tell_difference(ahead_ms: int) -> str:
    """Return what is said of a host whose clock is not in step, empty when it is.

    Example:
        >>> tell_difference(-300_000)
        "this host's clock is 300 s behind the store's, which counts here: set it, by NTP"
    """
    if not ahead_ms:
        return ""
    where = "ahead of" if ahead_ms > 0 else "behind"
    return f"this host's clock is {abs(ahead_ms) / 1000:.0f} s {where} the store's, which counts here: set it, by NTP"
