"""Runs grouped by a parameter: how many have each value, and what their metrics were. The database counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from penstock.tracking.search import RunSearch, matching
from penstock.tracking.tables import run_latest_metrics, run_params


@dataclass(frozen=True)
class Spread:
    """A metric in a group of runs: of how many, the least, the mean, the greatest; NaN counts as absent."""

    count: int
    least: float
    mean: float
    greatest: float


@dataclass
class RunGroup:
    """The runs that have one value of a parameter; None are those without it."""

    value: str | None
    count: int
    metrics: dict[str, Spread] = field(default_factory=dict)


def group_runs(
    connection: sa.Connection, wanted: RunSearch, param: str, metrics: Sequence[str]
) -> list[RunGroup]:
    """Return the runs that match by their value of a parameter, the largest group first, up to `wanted.limit`.

    Raises:
        Invalid: the filter cannot be read.
    """
    matched = matching(connection, wanted).subquery()
    value = run_params.c.value
    of_param = sa.and_(run_params.c.run_id == matched.c.id, run_params.c.key == param)
    with_value = sa.outerjoin(matched, run_params, of_param)
    count = sa.func.count().label("count")
    query = sa.select(value, count).select_from(with_value).group_by(value).order_by(count.desc(), value)
    groups = {row[0]: RunGroup(row[0], row[1]) for row in connection.execute(query.limit(wanted.limit))}
    if not metrics or not groups:
        return list(groups.values())
    latest = run_latest_metrics.c
    told = sa.and_(latest.run_id == matched.c.id, latest.key.in_(metrics), latest.is_nan.is_(False))
    spreads = (
        sa.select(
            value,
            latest.key,
            sa.func.count(),
            sa.func.min(latest.value),
            sa.func.avg(latest.value),
            sa.func.max(latest.value),
        )
        .select_from(with_value.join(run_latest_metrics, told))
        .group_by(value, latest.key)
    )
    for group, key, *numbers in connection.execute(spreads):
        if group in groups:
            groups[group].metrics[key] = Spread(*numbers)
    return list(groups.values())
