"""The points of one metric of several runs, thinned out as `metrics.list_thinned` does, with two statements for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from penstock.tracking.metrics import MOST_AT_A_STEP, Stored, list_thinned
from penstock.tracking.tables import run_latest_metrics, run_metrics


def list_thinned_runs(
    connection: sa.Connection, run_ids: Sequence[str], key: str, count: int
) -> dict[str, list[Stored]]:
    """Return the points of each run that has the metric, by run, as `list_thinned` would.

    Runs whose points have the same first and last step are read together; the others, and those with few points or with
    many at a step, one by one.
    """
    alike: dict[tuple[int, int], list[str]] = {}
    for run_id, first, last in connection.execute(_ends(), {"runs": list(run_ids), "of_key": key}):
        alike.setdefault((first, last), []).append(run_id)
    found: dict[str, list[Stored]] = {}
    for (first, last), ids in alike.items():
        read = _together(connection, ids, key, (first, last, count)) if last - first > 2 * count else {}
        for run_id in ids:
            points = read.get(run_id, [])
            is_even = count // 4 <= len(points) < MOST_AT_A_STEP * count
            found[run_id] = points if points and is_even else list_thinned(connection, run_id, key, count)
    return found


def _together(
    connection: sa.Connection, run_ids: Sequence[str], key: str, asked: tuple[int, int, int]
) -> dict[str, list[Stored]]:
    first, last, count = asked
    steps = list(dict.fromkeys([*range(first, last + 1, (last - first) // count), last]))
    values = {
        "runs": list(run_ids), "of_key": key, "steps": steps, "most": MOST_AT_A_STEP * count * len(run_ids),
    }  # fmt: skip
    found: dict[str, list[Stored]] = {}
    for run_id, metric, value, time_ms, step, is_nan in connection.execute(_at_steps(), values).all():
        found.setdefault(run_id, []).append((metric, value, time_ms, step, is_nan))
    return found


@cache
def _ends() -> sa.Select[Any]:
    latest, step = run_latest_metrics.c, run_metrics.c.step
    here = (run_metrics.c.run_id == latest.run_id) & (run_metrics.c.key == latest.key)
    first, last = (sa.select(end(step)).where(here).scalar_subquery() for end in (sa.func.min, sa.func.max))
    return sa.select(latest.run_id, first, last).where(
        latest.run_id.in_(sa.bindparam("runs", expanding=True)), latest.key == sa.bindparam("of_key")
    )


@cache
def _at_steps() -> sa.Select[Any]:
    columns = run_metrics.c
    return (
        sa.select(columns.run_id, columns.key, columns.value, columns.time_ms, columns.step, columns.is_nan)
        .where(
            columns.run_id.in_(sa.bindparam("runs", expanding=True)),
            columns.key == sa.bindparam("of_key"),
            columns.step.in_(sa.bindparam("steps", expanding=True)),
        )
        .order_by(columns.step, columns.time_ms, columns.value)
        .limit(sa.bindparam("most"))
    )
