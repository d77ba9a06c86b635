"""The search for logged models: a filter in MLflow's grammar, an order by attributes or metrics, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from penstock.base.errors import Invalid
from penstock.records.limits import limit_count
from penstock.records.search.entities import LOGGED_MODELS
from penstock.records.search.grammar import Comparison, OrderBy, parse_filter
from penstock.records.search.joining import all_of
from penstock.records.search.keyset import Cursor, Key, beyond, in_order, ranked, read_cursor
from penstock.records.search.pairs import pair_matches
from penstock.records.search.sql import compare
from penstock.tracking.entities import LoggedModel
from penstock.tracking.logged_models import list_models
from penstock.tracking.tables import (
    logged_model_metrics,
    logged_model_params,
    logged_model_tags,
    logged_models,
)

_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": logged_models.c.name,
    "model_id": logged_models.c.id,
    "model_type": logged_models.c.model_type,
    "status": logged_models.c.status,
    "status_message": logged_models.c.status_message,
    "source_run_id": logged_models.c.source_run_id,
    "experiment_id": sa.cast(logged_models.c.experiment_id, sa.String),
    "artifact_location": logged_models.c.artifact_uri,
    "creation_timestamp": logged_models.c.created_ms,
    "last_updated_timestamp": logged_models.c.updated_ms,
}
_PAIRS = {"param": logged_model_params, "tag": logged_model_tags}


@dataclass(frozen=True)
class DatasetName:
    """A data set that metrics were measured on; without a digest, any state of it."""

    name: str
    digest: str | None = None


@dataclass(frozen=True)
class ModelOrder:
    """One key of the order; a metric may be narrowed to a data set."""

    by: OrderBy
    dataset: DatasetName | None = None


@dataclass(frozen=True)
class ModelSearch:
    """What models are wanted: of these experiments, that match, in this order."""

    experiment_ids: Sequence[int]
    filter: str = ""
    datasets: Sequence[DatasetName] = ()
    order: Sequence[ModelOrder] = ()
    limit: int = 50
    after: Cursor | None = None


def search_models(connection: sa.Connection, wanted: ModelSearch) -> list[LoggedModel]:
    """Return models that match, in order; ties go to the newest.

    With `datasets`, a metric in the filter counts only where it was measured on one of them; without a
    metric in the filter, a model must have some metric on one of them.

    Raises:
        Invalid: filter or place cannot be read, a data set has no name, or there are too many experiments.
    """
    limit_count("experiment_ids", len(wanted.experiment_ids))
    if any(not dataset.name for dataset in wanted.datasets):
        raise Invalid("`dataset_name` in the `datasets` clause must be specified.", code="search.invalid")
    comparisons = parse_filter(wanted.filter, LOGGED_MODELS)
    query = sa.select(logged_models.c.id).where(
        logged_models.c.experiment_id.in_(wanted.experiment_ids),
        logged_models.c.deleted_ms.is_(None),
        *all_of(connection, (_matches(one, wanted.datasets) for one in comparisons)),
    )
    if wanted.datasets and not any(one.kind == "metric" for one in comparisons):
        points = logged_model_metrics.alias()
        query = query.where(
            sa.exists().where(points.c.model_id == logged_models.c.id, _measured_on(points, wanted.datasets))
        )
    keys = _keys(wanted)
    if wanted.after is not None:
        query = query.where(beyond(keys, wanted.after))
    found = connection.execute(in_order(query, keys).limit(wanted.limit)).scalars()
    return list_models(connection, list(found))


def model_cursor(connection: sa.Connection, wanted: ModelSearch, model_id: str) -> Cursor:
    """Return a model's place in the order that a search asks for."""
    return read_cursor(connection, _keys(wanted), logged_models.c.id == model_id)


def _keys(wanted: ModelSearch) -> list[Key]:
    asked = [key for order in wanted.order for key in _order(order)]
    return [*asked, Key(logged_models.c.created_ms, False), Key(logged_models.c.id)]


def _matches(one: Comparison, datasets: Sequence[DatasetName]) -> sa.ColumnElement[bool]:
    if one.kind == "attribute":
        return compare(_COLUMNS[one.key], one.operator, one.value)
    if one.kind != "metric":
        return pair_matches(LOGGED_MODELS, one, _PAIRS[one.kind], ("model_id", logged_models.c.id))
    points = logged_model_metrics.alias()
    passes = [
        points.c.model_id == logged_models.c.id,
        points.c.key == one.key,
        ~points.c.is_nan,
        compare(points.c.value, one.operator, one.value),
    ]
    return sa.exists().where(*passes, *([_measured_on(points, datasets)] if datasets else []))


def _measured_on(points: Any, datasets: Sequence[DatasetName]) -> sa.ColumnElement[bool]:
    return sa.or_(
        *(
            sa.and_(
                points.c.dataset_name == dataset.name,
                sa.true() if dataset.digest is None else points.c.dataset_digest == dataset.digest,
            )
            for dataset in datasets
        )
    )


def _order(order: ModelOrder) -> list[Key]:
    value = _COLUMNS.get(order.by.key)
    if order.by.kind == "metric" or value is None:
        points = logged_model_metrics.alias()
        query = sa.select(points.c.value).where(
            points.c.model_id == logged_models.c.id, points.c.key == order.by.key, ~points.c.is_nan
        )
        if order.dataset is not None:
            query = query.where(_measured_on(points, [order.dataset]))
        newest = query.order_by(points.c.step.desc(), points.c.time_ms.desc(), points.c.value.desc()).limit(1)
        value = newest.scalar_subquery()
    return ranked(value, order.by.ascending)
