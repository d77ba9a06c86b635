"""Whether a controller acts on endpoints, told from the lease that it keeps. Writes nothing."""

from __future__ import annotations

import sqlalchemy as sa

from penstock.base.clock import format_ms
from penstock.monitoring.lease import CONTROLLER, LEASE_S, ended_ms

NOBODY_ACTS = "no controller runs, so nothing is rolled back or advanced: penstock server, or penstock up"


def why_nobody_acts(connection: sa.Connection, time_ms: int) -> str:
    """Say why nothing is rolled back or advanced now; empty while a controller acts.

    A controller that runs and is too slow to keep its lease is told as one; of one on another machine only the lease tells.
    """
    expired_ms = ended_ms(connection, CONTROLLER, LEASE_S, time_ms)
    if expired_ms is None:
        return ""
    if not expired_ms:
        return NOBODY_ACTS
    silent_s = max(1, (time_ms - expired_ms) // 1000)
    return (
        f"the controller has not looked for {silent_s} s and more (its lease ended {format_ms(expired_ms)}), "
        "so nothing is rolled back or advanced until it does: penstock doctor"
    )
