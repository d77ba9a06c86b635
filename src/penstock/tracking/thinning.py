"""The points of metrics of several runs, thinned out as `metrics.list_thinned` does, with two statements for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from penstock.tracking.metrics import MOST_AT_A_STEP, Stored, list_thinned
from penstock.tracking.tables import run_latest_metrics, run_metrics

Curve = tuple[str, str]
"""A run's id and the key of a metric."""


def list_thinned_curves(
    connection: sa.Connection, run_ids: Sequence[str], keys: Sequence[str], count: int
) -> dict[Curve, list[Stored]]:
    """Return the points of each of these metrics of each of these runs, where it has it, as `list_thinned` would.

    Curves with the same first and last step are read together; the others, and those with few points or with many at a
    step, one by one.
    """
    alike: dict[tuple[int, int], list[Curve]] = {}
    for run_id, key, first, last in connection.execute(_ends(), {"runs": list(run_ids), "keys": list(keys)}):
        alike.setdefault((first, last), []).append((run_id, key))
    found: dict[Curve, list[Stored]] = {}
    for (first, last), curves in alike.items():
        read = _together(connection, curves, (first, last, count)) if last - first > 2 * count else {}
        for curve in curves:
            points = read.get(curve, [])
            is_even = count // 4 <= len(points) < MOST_AT_A_STEP * count
            found[curve] = points if points and is_even else list_thinned(connection, *curve, count)
    return found


def _together(
    connection: sa.Connection, curves: Sequence[Curve], asked: tuple[int, int, int]
) -> dict[Curve, list[Stored]]:
    """Return the points of curves at the same steps; none where together they have more than is read."""
    first, last, count = asked
    steps = list(dict.fromkeys([*range(first, last + 1, (last - first) // count), last]))
    run_ids, keys = (sorted(set(names)) for names in zip(*curves, strict=True))
    most = MOST_AT_A_STEP * count * len(curves)
    rows = connection.execute(
        _at_steps(), {"runs": run_ids, "keys": keys, "steps": steps, "most": most}
    ).all()
    if len(rows) == most:
        return {}
    found: dict[Curve, list[Stored]] = {}
    for run_id, key, value, time_ms, step, is_nan in rows:
        found.setdefault((run_id, key), []).append((key, value, time_ms, step, is_nan))
    for points in found.values():
        points.sort(key=_place)
    return found


def _place(point: Stored) -> tuple[int, int, float]:
    _key, value, time_ms, step, _is_nan = point
    return (step, time_ms, value)


@cache
def _ends() -> sa.Select[Any]:
    latest, step = run_latest_metrics.c, run_metrics.c.step
    here = (run_metrics.c.run_id == latest.run_id) & (run_metrics.c.key == latest.key)
    first, last = (sa.select(end(step)).where(here).scalar_subquery() for end in (sa.func.min, sa.func.max))
    return sa.select(latest.run_id, latest.key, first, last).where(
        latest.run_id.in_(sa.bindparam("runs", expanding=True)),
        latest.key.in_(sa.bindparam("keys", expanding=True)),
    )


@cache
def _at_steps() -> sa.Select[Any]:
    """Return the statement of the points of runs and metrics at steps, in no order: to sort them here costs half as much."""
    columns = run_metrics.c
    return (
        sa.select(columns.run_id, columns.key, columns.value, columns.time_ms, columns.step, columns.is_nan)
        .where(
            columns.run_id.in_(sa.bindparam("runs", expanding=True)),
            columns.key.in_(sa.bindparam("keys", expanding=True)),
            columns.step.in_(sa.bindparam("steps", expanding=True)),
        )
        .limit(sa.bindparam("most"))
    )
