"""Runs grouped by a parameter: how many have each value, and what their metrics were. The database counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from penstock.tracking.search import RunSearch, matching
from penstock.tracking.tables import run_latest_metrics, run_params, runs


@dataclass(frozen=True)
class Spread:
    """A metric in a group of runs: of how many, the least, the mean, the greatest; NaN counts as absent.

    Least and greatest are None where no run counts for them.
    """

    count: int
    least: float | None
    mean: float
    greatest: float | None


@dataclass
class RunGroup:
    """The runs that have one value of a parameter; None are those without it."""

    value: str | None
    count: int
    metrics: dict[str, Spread] = field(default_factory=dict)


def group_runs(
    connection: sa.Connection,
    wanted: RunSearch,
    param: str,
    metrics: Sequence[str],
    without: Mapping[str, Collection[str]] | None = None,
) -> list[RunGroup]:
    """Return the runs that match by their value of a parameter, the largest group first, up to `wanted.limit`.

    Args:
        without: by metric, runs that are neither the least nor the greatest, and in the mean all the same.

    Raises:
        Invalid: the filter cannot be read.
    """
    # in the order of the tables that are looked up: a quarter of the time less than in no order
    matched = matching(connection, wanted).order_by(runs.c.id).subquery()
    value = run_params.c.value
    joined = sa.outerjoin(
        matched, run_params, sa.and_(run_params.c.run_id == matched.c.id, run_params.c.key == param)
    )
    count = sa.func.count().label("count")
    columns: list[sa.ColumnElement[Any]] = [value, count]
    for place, key in enumerate(metrics):
        one = run_latest_metrics.alias(f"metric_{place}")
        joined = joined.outerjoin(
            one, sa.and_(one.c.run_id == matched.c.id, one.c.key == key, one.c.is_nan.is_(False))
        )
        number = one.c.value
        left_out = (without or {}).get(key)
        judged = sa.case((matched.c.id.in_(left_out), None), else_=number) if left_out else number
        columns += [sa.func.count(number), sa.func.min(judged), sa.func.avg(number), sa.func.max(judged)]
    query = sa.select(*columns).select_from(joined).group_by(value).order_by(count.desc(), value)
    found = []
    for group, run_count, *numbers in connection.execute(query.limit(wanted.limit)):
        spreads = zip(metrics, zip(*[iter(numbers)] * 4, strict=True), strict=True)
        found.append(RunGroup(group, run_count, {key: Spread(*told) for key, told in spreads if told[0]}))
    return found
