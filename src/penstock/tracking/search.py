"""Searches for experiments and runs: a filter and an order in MLflow's grammar, as SQL.

An order by a metric begins at the index of latest metrics and stops after a page, so that its cost does not
grow with the number of runs: first the runs that have the metric, by value, then those whose value is not a
number, then those without it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from penstock.base.errors import Invalid
from penstock.base.limits import invalid_value
from penstock.base.search.entities import EXPERIMENTS, RUNS
from penstock.base.search.grammar import Comparison, OrderBy, parse_filter, parse_order_by
from penstock.base.search.pairs import pair_matches
from penstock.base.search.sql import compare
from penstock.tracking.entities import Experiment
from penstock.tracking.experiments import list_experiments
from penstock.tracking.tables import (
    datasets,
    experiment_tags,
    experiments,
    run_datasets,
    run_latest_metrics,
    run_params,
    run_tags,
    runs,
)

MAX_RESULTS = 50_000
_RUN_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "run_id": runs.c.id,
    "run_name": runs.c.name,
    "user_id": runs.c.user,
    "status": runs.c.status,
    "start_time": runs.c.start_ms,
    "end_time": runs.c.end_ms,
    "artifact_uri": sa.func.coalesce(
        runs.c.artifact_uri,
        sa.literal("mlflow-artifacts:/")
        + sa.cast(runs.c.experiment_id, sa.String)
        + "/"
        + runs.c.id
        + "/artifacts",
    ),
}
_EXPERIMENT_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": experiments.c.name,
    "experiment_id": experiments.c.id,
    "creation_time": experiments.c.created_ms,
    "last_update_time": experiments.c.updated_ms,
}
_PAIRS = {"param": run_params, "tag": run_tags}


class View(enum.Enum):
    """Which rows a list shows."""

    ACTIVE_ONLY = "ACTIVE_ONLY"
    DELETED_ONLY = "DELETED_ONLY"
    ALL = "ALL"

    @classmethod
    def parse(cls, name: str | None) -> View:
        """Return a view by its name or its number on the wire.

        Raises:
            Invalid: there is none of this name.
        """
        numbers = {"1": cls.ACTIVE_ONLY, "2": cls.DELETED_ONLY, "3": cls.ALL}
        try:
            return numbers.get(name or "1") or cls[name or "ACTIVE_ONLY"]
        except KeyError:
            raise invalid_value("view_type", name, "one of ACTIVE_ONLY, DELETED_ONLY, ALL") from None

    def condition(self, deleted_ms: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
        """Return what a row's mark must be."""
        if self is View.ALL:
            return []
        return [deleted_ms.is_(None) if self is View.ACTIVE_ONLY else deleted_ms.is_not(None)]


def check_max_results(given: int | None, most: int) -> int:
    """Return how many results are wanted.

    Raises:
        Invalid: none are, or more than `most`.
    """
    if given is None or given < 1:
        raise Invalid(
            f"Invalid value {given or 0} for parameter 'max_results' supplied. It must be a positive integer",
            code="request.invalid_value",
        )
    if given > most:
        raise Invalid(
            f"Invalid value {given} for parameter 'max_results' supplied. It must be at most {most}.",
            code="request.invalid_value",
        )
    return given


def search_experiments(
    connection: sa.Connection,
    text: str,
    order_by: Sequence[str],
    *,
    view: View = View.ACTIVE_ONLY,
    limit: int = 1000,
    offset: int = 0,
) -> list[Experiment]:
    """Return experiments that match, in the order asked for; newest first where nothing is asked.

    Raises:
        Invalid: filter or order cannot be read.
    """
    query = sa.select(experiments.c.id).where(*view.condition(experiments.c.deleted_ms))
    for one in parse_filter(text, EXPERIMENTS):
        query = query.where(_experiment_matches(one))
    orders = parse_order_by(list(order_by), EXPERIMENTS) or (OrderBy("attribute", "creation_time", False),)
    for order in orders:
        column = _EXPERIMENT_COLUMNS[order.key]
        query = query.order_by(column if order.ascending else column.desc())
    query = query.order_by(experiments.c.id.desc()).limit(limit).offset(offset)
    return list_experiments(connection, list(connection.execute(query).scalars()))


def _experiment_matches(one: Comparison) -> sa.ColumnElement[bool]:
    if one.kind == "attribute":
        column = _EXPERIMENT_COLUMNS[one.key]
        if one.key == "experiment_id":
            column = sa.cast(column, sa.String)
        return compare(column, one.operator, one.value)
    return pair_matches(EXPERIMENTS, one, experiment_tags, ("experiment_id", experiments.c.id))


@dataclass(frozen=True)
class RunSearch:
    """What runs are wanted: of these experiments, that match, in this order."""

    experiment_ids: Sequence[int]
    filter: str = ""
    order_by: Sequence[str] = ()
    view: View = View.ACTIVE_ONLY
    limit: int = 1000
    offset: int = 0


def search_runs(connection: sa.Connection, wanted: RunSearch) -> list[str]:
    """Return the ids of runs that match, in order; ties go to the newest, then by id.

    Raises:
        Invalid: filter or order cannot be read.
    """
    comparisons = parse_filter(wanted.filter, RUNS)
    orders = parse_order_by(list(wanted.order_by), RUNS)
    if not wanted.experiment_ids or wanted.limit < 1:
        return []
    if orders and orders[0].kind == "metric" and len(wanted.experiment_ids) == 1:
        return _by_metric(connection, wanted, comparisons, orders)
    query = sa.select(runs.c.id).where(
        runs.c.experiment_id.in_(wanted.experiment_ids),
        *wanted.view.condition(runs.c.deleted_ms),
        *(_run_matches(one, runs.c.id, _inside) for one in comparisons),
    )
    query = query.order_by(*_orders(orders, runs.c.id, _inside)).limit(wanted.limit).offset(wanted.offset)
    return list(connection.execute(query).scalars())


def _by_metric(
    connection: sa.Connection, wanted: RunSearch, comparisons: Sequence[Comparison], orders: Sequence[OrderBy]
) -> list[str]:
    first, rest = orders[0], orders[1:]
    metric = run_latest_metrics.alias("ordering")
    # the index is walked in the order of the answer, so the run's own row is only looked up for its candidates
    visible = _through(metric.c.run_id)
    conditions = [_run_matches(one, metric.c.run_id, visible) for one in comparisons]
    if view := wanted.view.condition(runs.c.deleted_ms):
        conditions.append(sa.exists().where(runs.c.id == metric.c.run_id, *view))
    having = sa.select(metric.c.run_id).where(
        metric.c.experiment_id == wanted.experiment_ids[0], metric.c.key == first.key, *conditions
    )
    value = metric.c.value if first.ascending else metric.c.value.desc()
    tail = _orders(rest, metric.c.run_id, visible)
    without = sa.select(runs.c.id).where(
        runs.c.experiment_id == wanted.experiment_ids[0],
        *wanted.view.condition(runs.c.deleted_ms),
        ~sa.exists().where(run_latest_metrics.c.run_id == runs.c.id, run_latest_metrics.c.key == first.key),
        *(_run_matches(one, runs.c.id, _inside) for one in comparisons),
    )
    phases = [
        having.where(metric.c.is_nan.is_(False)).order_by(value, *tail),
        having.where(metric.c.is_nan.is_(True)).order_by(*tail),
        without.order_by(*_orders(rest, runs.c.id, _inside)),
    ]
    if any(one.kind == "metric" and one.key == first.key for one in comparisons):
        phases.pop()
    found: list[str] = []
    offset = wanted.offset
    for phase in phases:
        left = wanted.limit - len(found)
        if left <= 0:
            break
        rows = list(connection.execute(phase.limit(left).offset(offset)).scalars())
        found += rows
        if rows or not offset:
            offset = 0
        else:
            total = sa.select(sa.func.count()).select_from(phase.order_by(None).subquery())
            offset -= min(offset, connection.execute(total).scalar_one())
    return found


Reach = Callable[[sa.ColumnElement[bool]], sa.ColumnElement[bool]]


def _inside(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return condition


def _through(run_id: sa.ColumnElement[str]) -> Reach:
    """Return how a condition on a run's row is put where the row itself is not being read."""
    return lambda condition: sa.exists().where(runs.c.id == run_id, condition)


def _run_matches(one: Comparison, run_id: sa.ColumnElement[str], reach: Reach) -> sa.ColumnElement[bool]:
    if one.kind == "attribute":
        return reach(compare(_RUN_COLUMNS[one.key], one.operator, one.value))
    if one.kind == "metric":
        metric = run_latest_metrics.alias()
        passes = compare(metric.c.value, one.operator, one.value)
        passes = sa.or_(metric.c.is_nan, passes) if one.operator == "!=" else ~metric.c.is_nan & passes
        return sa.exists().where(metric.c.run_id == run_id, metric.c.key == one.key, passes)
    if one.kind == "dataset":
        return _dataset_matches(one, run_id)
    return pair_matches(RUNS, one, _PAIRS[one.kind], ("run_id", run_id))


def _dataset_matches(one: Comparison, run_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    used, data = run_datasets.alias(), datasets.alias()
    column = used.c.context if one.key == "context" else data.c[one.key]
    return sa.exists().where(
        used.c.run_id == run_id, data.c.id == used.c.dataset_id, compare(column, one.operator, one.value)
    )


def _orders(
    orders: Sequence[OrderBy], run_id: sa.ColumnElement[str], reach: Reach
) -> list[sa.ColumnElement[Any]]:
    """Return the SQL of an order; runs without the value come last, then the newest first, then by id."""
    direct = reach is _inside
    found: list[sa.ColumnElement[Any]] = []
    for order in orders:
        if order.kind == "attribute":
            column = _RUN_COLUMNS[order.key]
            values = [column if direct else sa.select(column).where(runs.c.id == run_id).scalar_subquery()]
        elif order.kind == "metric":
            metric = run_latest_metrics.alias()
            values = [
                sa.select(column)
                .where(metric.c.run_id == run_id, metric.c.key == order.key)
                .scalar_subquery()
                for column in (metric.c.is_nan, metric.c.value)
            ]
        else:
            pairs = _PAIRS[order.kind].alias()
            values = [
                sa.select(pairs.c.value)
                .where(pairs.c.run_id == run_id, pairs.c.key == order.key)
                .scalar_subquery()
            ]
        if len(values) == 2:
            found.append(sa.case((values[0].is_(None), 2), (values[0].is_(True), 1), else_=0))
        else:
            found.append(sa.case((values[0].is_(None), 1), else_=0))
        found.append(values[-1] if order.ascending else values[-1].desc())
    if not any(order.kind == "attribute" and order.key == "start_time" for order in orders):
        start = sa.select(runs.c.start_ms).where(runs.c.id == run_id).scalar_subquery()
        found.append((runs.c.start_ms if direct else start).desc())
    found.append(run_id)
    return found
