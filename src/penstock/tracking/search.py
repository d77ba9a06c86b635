"""Searches for experiments and runs: a filter and an order in MLflow's grammar, as SQL.

An order by a metric begins at the index of latest metrics and stops after a page, so that its cost does not
grow with the number of runs: first the runs that have the metric, by value, then those whose value is not a
number, then those without it. Of a few experiments each is asked for a page by its own index, and the pages are put
together: an index over several would be read whole.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from penstock.base.errors import Invalid
from penstock.records.limits import invalid_value, limit_count
from penstock.records.search.entities import EXPERIMENTS, RUNS
from penstock.records.search.grammar import Comparison, OrderBy, parse_filter, parse_order_by
from penstock.records.search.joining import all_of
from penstock.records.search.keyset import Cursor, Key, beyond, in_order, ranked, read_cursor
from penstock.records.search.pairs import pair_matches
from penstock.records.search.sql import compare
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
FEW = 24
"""So many experiments are asked one by one; more are searched as one, which reads every run of theirs."""
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


@dataclass(frozen=True)
class ExperimentSearch:
    """What experiments are wanted: that match, in this order, behind a place in it."""

    filter: str = ""
    order_by: Sequence[str] = ()
    view: View = View.ACTIVE_ONLY
    limit: int = 1000
    after: Cursor | None = None
    only: sa.ColumnElement[bool] | None = None
    """A further condition: what the caller may see."""


def search_experiments(connection: sa.Connection, wanted: ExperimentSearch) -> list[Experiment]:
    """Return experiments that match, in the order asked for; newest first where nothing is asked.

    Raises:
        Invalid: filter, order or place cannot be read.
    """
    query = sa.select(experiments.c.id).where(*wanted.view.condition(experiments.c.deleted_ms))
    comparisons = parse_filter(wanted.filter, EXPERIMENTS)
    query = query.where(*all_of(connection, map(_experiment_matches, comparisons)))
    keys = _experiment_keys(wanted)
    if wanted.after is not None:
        query = query.where(beyond(keys, wanted.after))
    if wanted.only is not None:
        query = query.where(wanted.only)
    found = connection.execute(in_order(query, keys).limit(wanted.limit)).scalars()
    return list_experiments(connection, list(found))


def experiment_cursor(connection: sa.Connection, wanted: ExperimentSearch, number: int) -> Cursor:
    """Return an experiment's place in the order that a search asks for."""
    return read_cursor(connection, _experiment_keys(wanted), experiments.c.id == number)


def _experiment_keys(wanted: ExperimentSearch) -> list[Key]:
    orders = parse_order_by(list(wanted.order_by), EXPERIMENTS) or (
        OrderBy("attribute", "creation_time", False),
    )
    keys = [Key(_EXPERIMENT_COLUMNS[order.key], order.ascending) for order in orders]
    return [*keys, Key(experiments.c.id, False)]


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
    after: Cursor | None = None
    only: sa.ColumnElement[bool] | None = None
    """A further condition: what the caller may see."""

    @property
    def metric(self) -> OrderBy | None:
        """The metric that leads the order, where its index can be walked: within each of a few experiments."""
        orders = parse_order_by(list(self.order_by), RUNS)
        return (
            orders[0] if orders and orders[0].kind == "metric" and len(self.experiment_ids) <= FEW else None
        )


def search_runs(connection: sa.Connection, wanted: RunSearch) -> list[str]:
    """Return the ids of runs that match, in order; ties go to the newest, then by id.

    Raises:
        Invalid: filter, order or place cannot be read, or there are too many experiments.
    """
    limit_count("experiment_ids", len(wanted.experiment_ids))
    comparisons = parse_filter(wanted.filter, RUNS)
    orders = parse_order_by(list(wanted.order_by), RUNS)
    if not wanted.experiment_ids or wanted.limit < 1:
        return []
    if wanted.metric is not None:
        return _by_metric(connection, wanted, comparisons, orders)
    query = _matching(connection, wanted.view, comparisons)
    keys = _keys(orders, runs.c.id, _inside)
    if wanted.after is not None:
        query = query.where(beyond(keys, wanted.after))
    return list(_first(connection, query, runs.c.experiment_id, wanted.experiment_ids, keys, wanted.limit))


def rank_runs(connection: sa.Connection, wanted: RunSearch) -> dict[str, float]:
    """Return the runs that match by the metric that leads the order, with its value; only those whose value is a number.

    Raises:
        Invalid: the filter or the order cannot be read, or there are too many experiments.
    """
    limit_count("experiment_ids", len(wanted.experiment_ids))
    comparisons = parse_filter(wanted.filter, RUNS)
    orders = parse_order_by(list(wanted.order_by), RUNS)
    metric = run_latest_metrics.alias("ordering")
    query = _having(connection, wanted, comparisons, metric, orders[0].key).where(metric.c.is_nan.is_(False))
    keys = _phase_keys(metric, orders)[0]
    return _first(connection, query, metric.c.experiment_id, wanted.experiment_ids, keys, wanted.limit)


def _first(
    connection: sa.Connection,
    query: sa.Select[Any],
    experiment: sa.ColumnElement[int],
    experiment_ids: Sequence[int],
    keys: Sequence[Key],
    limit: int,
) -> dict[str, Any]:
    """Return the first ids of a query in the order of the keys, each with its first key, of rows of these experiments."""
    if not 1 < len(experiment_ids) <= FEW:
        whole = query.add_columns(keys[0].column).where(experiment.in_(experiment_ids))
        return {row[0]: row[1] for row in connection.execute(in_order(whole, keys).limit(limit))}
    told = query.add_columns(*(key.column.label(f"key_{place}") for place, key in enumerate(keys)))
    pages = [
        sa.select(in_order(told.where(experiment == one), keys).limit(limit).subquery())
        for one in dict.fromkeys(experiment_ids)
    ]
    every = sa.union_all(*pages).subquery()
    labels = [Key(every.c[f"key_{place}"], key.ascending) for place, key in enumerate(keys)]
    chosen = in_order(sa.select(every.c[0], every.c.key_0), labels).limit(limit)
    return {row[0]: row[1] for row in connection.execute(chosen)}


def matching(connection: sa.Connection, wanted: RunSearch) -> sa.Select[Any]:
    """Return the query of the ids of all runs that match, in no order.

    Raises:
        Invalid: the filter cannot be read.
    """
    query = _matching(connection, wanted.view, parse_filter(wanted.filter, RUNS))
    return query.where(runs.c.experiment_id.in_(wanted.experiment_ids))


def _matching(connection: sa.Connection, view: View, comparisons: Sequence[Comparison]) -> sa.Select[Any]:
    """Return the query of the ids of runs of any experiment that match."""
    return sa.select(runs.c.id).where(
        *view.condition(runs.c.deleted_ms),
        *all_of(connection, (_run_matches(one, runs.c.id, _inside) for one in comparisons)),
    )


def run_cursor(connection: sa.Connection, wanted: RunSearch, run_id: str) -> Cursor:
    """Return a run's place in the order that a search asks for; by a metric, behind the number of its phase."""
    orders = parse_order_by(list(wanted.order_by), RUNS)
    if wanted.metric is None:
        return read_cursor(connection, _keys(orders, runs.c.id, _inside), runs.c.id == run_id)
    metric = run_latest_metrics.alias("ordering")
    here = sa.and_(metric.c.run_id == run_id, metric.c.key == wanted.metric.key)
    is_nan = connection.execute(sa.select(metric.c.is_nan).where(here)).scalar()
    phase = 2 if is_nan is None else int(is_nan)
    where = runs.c.id == run_id if phase == 2 else here
    return [phase, *read_cursor(connection, _phase_keys(metric, orders)[phase], where)]


def _by_metric(
    connection: sa.Connection, wanted: RunSearch, comparisons: Sequence[Comparison], orders: Sequence[OrderBy]
) -> list[str]:
    first = orders[0]
    metric = run_latest_metrics.alias("ordering")
    having = _having(connection, wanted, comparisons, metric, first.key)
    without = _matching(connection, wanted.view, comparisons).where(
        ~sa.exists().where(run_latest_metrics.c.run_id == runs.c.id, run_latest_metrics.c.key == first.key)
    )
    phases = [having.where(metric.c.is_nan.is_(False)), having.where(metric.c.is_nan.is_(True)), without]
    if any(one.kind == "metric" and one.key == first.key for one in comparisons):
        phases.pop()
    begin, after = _phase_of(wanted.after)
    keys = _phase_keys(metric, orders)
    found: list[str] = []
    for number in range(begin, len(phases)):
        left = wanted.limit - len(found)
        if left <= 0:
            break
        query = phases[number]
        if number == begin and after is not None:
            query = query.where(beyond(keys[number], after))
        experiment = runs.c.experiment_id if number == len(keys) - 1 else metric.c.experiment_id
        found += _first(connection, query, experiment, wanted.experiment_ids, keys[number], left)
    return found


def _having(
    connection: sa.Connection, wanted: RunSearch, comparisons: Sequence[Comparison], metric: Any, key: str
) -> sa.Select[Any]:
    """Return the query of the ids of matching runs that have a metric, NaN too.

    The index is walked in the order of the answer, so the run's own row is only looked up for its candidates.
    """
    visible = _through(metric.c.run_id)
    conditions = all_of(connection, (_run_matches(one, metric.c.run_id, visible) for one in comparisons))
    if view := wanted.view.condition(runs.c.deleted_ms):
        conditions.append(sa.exists().where(runs.c.id == metric.c.run_id, *view))
    return sa.select(metric.c.run_id).where(metric.c.key == key, *conditions)


def _phase_of(cursor: Cursor | None) -> tuple[int, Cursor | None]:
    """Return in which phase a page begins, and behind which place in it."""
    if cursor is None:
        return 0, None
    phase = cursor[0] if cursor else None
    if isinstance(phase, bool) or not isinstance(phase, int) or not 0 <= phase <= 2:
        raise Invalid("Invalid page token", code="request.bad_page_token", hint="start at the first page")
    return phase, cursor[1:]


def _phase_keys(metric: Any, orders: Sequence[OrderBy]) -> tuple[list[Key], list[Key], list[Key]]:
    """Return the keys among runs with a number for the leading metric, with NaN, and without the metric."""
    first, rest = orders[0], orders[1:]
    tail = _keys(rest, metric.c.run_id, _through(metric.c.run_id))
    return [Key(metric.c.value, first.ascending), *tail], tail, _keys(rest, runs.c.id, _inside)


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


def _keys(orders: Sequence[OrderBy], run_id: sa.ColumnElement[str], reach: Reach) -> list[Key]:
    """Return the keys of an order; runs without the value come last, then the newest first, then by id."""
    direct = reach is _inside
    found: list[Key] = []
    for order in orders:
        if order.kind == "attribute":
            column = _RUN_COLUMNS[order.key]
            value = column if direct else sa.select(column).where(runs.c.id == run_id).scalar_subquery()
            found += ranked(value, order.ascending)
        elif order.kind == "metric":
            metric = run_latest_metrics.alias()
            is_nan, value = (
                sa.select(column)
                .where(metric.c.run_id == run_id, metric.c.key == order.key)
                .scalar_subquery()
                for column in (metric.c.is_nan, metric.c.value)
            )
            found.append(Key(sa.case((is_nan.is_(None), 2), (is_nan.is_(True), 1), else_=0)))
            found.append(Key(value, order.ascending))
        else:
            pairs = _PAIRS[order.kind].alias()
            value = (
                sa.select(pairs.c.value)
                .where(pairs.c.run_id == run_id, pairs.c.key == order.key)
                .scalar_subquery()
            )
            found += ranked(value, order.ascending)
    if not any(order.kind == "attribute" and order.key == "start_time" for order in orders):
        start = sa.select(runs.c.start_ms).where(runs.c.id == run_id).scalar_subquery()
        found.append(Key(runs.c.start_ms if direct else start, False))
    return [*found, Key(run_id)]
