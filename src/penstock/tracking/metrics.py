"""The points of metrics: append-only, each kept once, with the one that counts at hand.

The point that counts is the greatest of (step, time, value). A value that is not a number is stored as 0
with a mark; the infinities are stored as the greatest finite numbers, since SQL has no portable word for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from penstock.base.errors import Invalid, NotFound
from penstock.base.numbers import storable
from penstock.base.store.database import insert_rows, upsert
from penstock.records.limits import check_step
from penstock.tracking.entities import MetricPoint
from penstock.tracking.tables import logged_model_metrics, logged_models, run_latest_metrics, run_metrics
from penstock.tracking.values import in_parts

_POINT = ("run_id", "key", "step", "time_ms", "value", "is_nan")
MOST_AT_A_STEP = 20
"""So many points are read at most for each that is asked for: thousands may be at one step."""
Stored = tuple[str, float, int, int, bool]
"""A point as it is stored: key, value, time in ms, step, whether it is not a number."""


@dataclass(frozen=True)
class RunReference:
    """A run that may be written to."""

    id: str
    experiment_id: int


def log_points(connection: sa.Connection, run: RunReference, points: Sequence[MetricPoint]) -> None:
    """Append points; one that is there already is not kept twice.

    Raises:
        NotFound: a point names a logged model that does not exist.
        Invalid: a step is no whole number.
    """
    if not points:
        return
    rows = [
        (
            run.id,
            point.key,
            point.step if point.step.__class__ is int else check_step(point.step),
            point.time_ms,
            storable(point.value),
            point.value != point.value,
        )
        for point in points
    ]
    dialect = connection.dialect.name
    insert_rows(connection, _add_points(dialect), _POINT, rows)
    latest: dict[str, tuple[Any, ...]] = {}
    for row in rows:
        known = latest.get(row[1])
        if known is None or row[2:5] > known[2:5]:
            latest[row[1]] = row
    insert_rows(
        connection,
        _keep_greatest(dialect),
        (*_POINT, "experiment_id"),
        [(*row, run.experiment_id) for row in latest.values()],
    )
    linked = [_of_model(run.id, point) for point in points if point.model_id]
    if linked:
        _check_models(connection, {str(row["model_id"]) for row in linked})
        connection.execute(upsert(dialect, logged_model_metrics).on_conflict_do_nothing(), linked)


_LATEST = (
    sa.select(
        run_latest_metrics.c.run_id,
        run_latest_metrics.c.key,
        run_latest_metrics.c.value,
        run_latest_metrics.c.time_ms,
        run_latest_metrics.c.step,
        run_latest_metrics.c.is_nan,
    )
    .where(run_latest_metrics.c.run_id.in_(sa.bindparam("run_ids", expanding=True)))
    .order_by(run_latest_metrics.c.run_id, run_latest_metrics.c.key)
)


def list_latest(connection: sa.Connection, run_ids: Sequence[str]) -> dict[str, list[Stored]]:
    """Return the points that count by run, in order of their keys."""
    found: dict[str, list[Stored]] = {}
    for part in in_parts(run_ids):
        for row in connection.execute(_LATEST, {"run_ids": part}).all():
            found.setdefault(row[0], []).append(tuple(row[1:]))
    return found


def list_history(
    connection: sa.Connection,
    run_id: str,
    key: str,
    *,
    limit: int | None = None,
    after: tuple[int, int, float] | None = None,
) -> list[Stored]:
    """Return a metric's points by (time, step, value), from behind `after` on."""
    columns = run_metrics.c
    query = (
        sa.select(columns.key, columns.value, columns.time_ms, columns.step, columns.is_nan)
        .where(columns.run_id == run_id, columns.key == key)
        .order_by(columns.time_ms, columns.step, columns.value)
    )
    if after is not None:
        query = query.where(sa.tuple_(columns.time_ms, columns.step, columns.value) > sa.tuple_(*after))
    if limit is not None:
        query = query.limit(limit)
    return [tuple(row) for row in connection.execute(query).all()]


def list_steps(
    connection: sa.Connection, run_ids: Sequence[str], key: str, between: tuple[int, int] | None
) -> dict[str, list[int]]:
    """Return the distinct steps of a metric by run, ascending, inside the closed interval."""
    columns = run_metrics.c
    query = (
        sa.select(columns.run_id, columns.step)
        .where(columns.run_id.in_(run_ids), columns.key == key)
        .distinct()
        .order_by(columns.run_id, columns.step)
    )
    if between is not None:
        query = query.where(columns.step.between(*between))
    found: dict[str, list[int]] = {}
    for run_id, step in connection.execute(query):
        found.setdefault(run_id, []).append(step)
    return found


def list_thinned(connection: sa.Connection, run_id: str, key: str, count: int) -> list[Stored]:
    """Return a metric's points at about `count` steps, evenly apart, the first and the last among them, in order.

    The database counts and chooses: of millions of points only those are read that are returned.
    """
    asked: dict[str, Any] = {"of_run": run_id, "of_key": key, "most": MOST_AT_A_STEP * count}
    first, last = connection.execute(_ends(), asked).one()
    if first is None or last - first <= 2 * count:
        found = [tuple(row) for row in connection.execute(_all_points(), asked)]
        least = 0
    else:
        steps = list(dict.fromkeys([*range(first, last + 1, (last - first) // count), last]))
        found = [tuple(row) for row in connection.execute(_at_steps(), {**asked, "steps": steps})]
        least = count // 4
    if least <= len(found) < MOST_AT_A_STEP * count:
        return found
    total = connection.execute(_count(), asked).scalar_one()  # steps that are not evenly apart, or crowded
    rows = connection.execute(_every(), {**asked, "each": max(1, total // count)})
    return [tuple(row) for row in rows]


def list_at_steps(connection: sa.Connection, run_id: str, key: str, steps: Iterable[int]) -> list[Stored]:
    """Return a metric's points at these steps, by (step, time, value)."""
    columns = run_metrics.c
    query = (
        sa.select(columns.key, columns.value, columns.time_ms, columns.step, columns.is_nan)
        .where(columns.run_id == run_id, columns.key == key, columns.step.in_(list(steps)))
        .order_by(columns.step, columns.time_ms, columns.value)
    )
    return [tuple(row) for row in connection.execute(query).all()]


def check_point(point: MetricPoint, path: str = "") -> None:
    """Check that a point can be kept.

    Raises:
        Invalid: its time is before 1970.
    """
    if point.time_ms < 0:
        raise Invalid(
            f"Invalid value {point.time_ms} for parameter '{path}timestamp' supplied: metric '{point.key}' "
            f"(value={point.value}). Timestamp must be a nonnegative long (64-bit integer) ",
            code="request.invalid_value",
        )


# Statements are built once: building one costs three times as much as running it.
@cache
def _ends() -> sa.Select[Any]:
    step = run_metrics.c.step
    one, other = (
        sa.select(ends(step)).where(_of_run_and_key()).scalar_subquery()
        for ends in (sa.func.min, sa.func.max)
    )
    return sa.select(one, other)


@cache
def _count() -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(run_metrics).where(_of_run_and_key())


@cache
def _all_points() -> sa.Select[Any]:
    columns = run_metrics.c
    query = sa.select(columns.key, columns.value, columns.time_ms, columns.step, columns.is_nan)
    query = query.where(_of_run_and_key()).order_by(columns.step, columns.time_ms, columns.value)
    return query.limit(sa.bindparam("most"))


@cache
def _at_steps() -> sa.Select[Any]:
    return _all_points().where(run_metrics.c.step.in_(sa.bindparam("steps", expanding=True)))


@cache
def _every() -> sa.Select[Any]:
    columns = run_metrics.c
    place = sa.func.row_number().over(order_by=(columns.step, columns.time_ms, columns.value)).label("place")
    ranked = _all_points().order_by(None).limit(None).add_columns(place).subquery()
    query = sa.select(*list(ranked.c)[:5]).where(ranked.c.place % sa.bindparam("each") == 0)
    return query.order_by(ranked.c.place)


def _of_run_and_key() -> sa.ColumnElement[bool]:
    columns = run_metrics.c
    return (columns.run_id == sa.bindparam("of_run")) & (columns.key == sa.bindparam("of_key"))


@cache
def _add_points(dialect: str) -> sa.Insert:
    insert: sa.Insert = upsert(dialect, run_metrics).on_conflict_do_nothing()
    return insert


@cache
def _keep_greatest(dialect: str) -> sa.Insert:
    insert = upsert(dialect, run_latest_metrics)
    new, old = insert.excluded, run_latest_metrics.c
    statement: sa.Insert = insert.on_conflict_do_update(
        index_elements=["run_id", "key"],
        set_={name: new[name] for name in ("value", "is_nan", "step", "time_ms")},
        where=sa.tuple_(new.step, new.time_ms, new.value) > sa.tuple_(old.step, old.time_ms, old.value),
    )
    return statement


def _check_models(connection: sa.Connection, model_ids: set[str]) -> None:
    known = set(
        connection.execute(sa.select(logged_models.c.id).where(logged_models.c.id.in_(model_ids))).scalars()
    )
    for model_id in sorted(model_ids - known):
        raise NotFound(
            f"Logged model with ID '{model_id}' not found.", code="tracking.no_model", model=model_id
        )


def _of_model(run_id: str, point: MetricPoint) -> dict[str, object]:
    return {
        "model_id": point.model_id,
        "key": point.key,
        "time_ms": point.time_ms,
        "step": check_step(point.step),
        "run_id": run_id,
        "value": storable(point.value),
        "is_nan": math.isnan(point.value),
        "dataset_name": point.dataset_name or "",
        "dataset_digest": point.dataset_digest or "",
    }
