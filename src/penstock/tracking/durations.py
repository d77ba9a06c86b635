"""How long stages took in recorded runs."""

from __future__ import annotations

import statistics

import msgspec
import sqlalchemy as sa

from penstock.tracking.entities import RAN
from penstock.tracking.tables import run_stages, runs

ROWS = 2_000
"""So many of the newest records of stages are looked at."""


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """How long one stage took: last, and in the middle of `count` times that it ran; `run_id` is the newest of them."""

    run_id: str
    last_s: float
    median_s: float
    count: int


def view_durations(connection: sa.Connection) -> dict[str, Took]:
    """Return how long each stage took where it ran, by its name."""
    query = (
        sa.select(run_stages.c.name, run_stages.c.seconds, run_stages.c.run_id)
        .join(runs, runs.c.id == run_stages.c.run_id)
        .where(run_stages.c.action == RAN)
        .order_by(runs.c.start_ms.desc())
        .limit(ROWS)
    )
    found: dict[str, list[tuple[float, str]]] = {}
    for name, seconds, run_id in connection.execute(query):
        found.setdefault(name, []).append((seconds, run_id))
    return {
        name: Took(
            run_id=rows[0][1],
            last_s=rows[0][0],
            median_s=statistics.median(seconds for seconds, _ in rows),
            count=len(rows),
        )
        for name, rows in found.items()
    }
