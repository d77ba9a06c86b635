"""Searches over registered models and versions: the filter grammar over the registry's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from penstock.base.search.entities import MODEL_VERSIONS, REGISTERED_MODELS
from penstock.base.search.grammar import Comparison, OrderBy, parse_filter, parse_order_by
from penstock.base.search.pairs import pair_matches
from penstock.base.search.sql import compare
from penstock.registry.cards import load_cards, select_cards
from penstock.registry.entities import VersionCard
from penstock.registry.tables import model_tags, models, version_tags, versions

_MODEL_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": models.c.name,
    "last_updated_timestamp": models.c.updated_ms,
}
_VERSION_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": versions.c.model,
    "version_number": versions.c.number,
    "run_id": versions.c.run_id,
    "source_path": sa.func.coalesce(versions.c.source, versions.c.path),
    "creation_timestamp": versions.c.created_ms,
    "last_updated_timestamp": versions.c.updated_ms,
}
_NEWEST = (OrderBy("attribute", "last_updated_timestamp", False),)


@dataclass(frozen=True)
class RegistrySearch:
    """What is wanted: what matches, in this order, one page of it."""

    filter: str = ""
    order_by: Sequence[str] = ()
    limit: int = 100
    offset: int = 0


def search_models(connection: sa.Connection, wanted: RegistrySearch) -> list[str]:
    """Return the names of models that match, by name where no order is asked for.

    Raises:
        Invalid: filter or order cannot be read.
    """
    query = sa.select(models.c.name).where(models.c.deleted_ms.is_(None))
    for one in parse_filter(wanted.filter, REGISTERED_MODELS):
        query = query.where(
            compare(_MODEL_COLUMNS[one.key], one.operator, one.value)
            if one.kind == "attribute"
            else pair_matches(REGISTERED_MODELS, one, model_tags, ("model", models.c.name))
        )
    orders = parse_order_by(list(wanted.order_by), REGISTERED_MODELS)
    query = query.order_by(*_columns(orders, _MODEL_COLUMNS), models.c.name)
    return list(connection.execute(query.limit(wanted.limit).offset(wanted.offset)).scalars())


def search_versions(connection: sa.Connection, wanted: RegistrySearch) -> list[VersionCard]:
    """Return versions that match; the last changed first where no order is asked for.

    Raises:
        Invalid: filter or order cannot be read.
    """
    query = select_cards()
    for one in parse_filter(wanted.filter, MODEL_VERSIONS):
        query = query.where(_version_matches(one))
    orders = parse_order_by(list(wanted.order_by), MODEL_VERSIONS) or _NEWEST
    query = query.order_by(*_columns(orders, _VERSION_COLUMNS), versions.c.model, versions.c.number.desc())
    return load_cards(connection, query.limit(wanted.limit).offset(wanted.offset))


def _version_matches(one: Comparison) -> sa.ColumnElement[bool]:
    if one.kind == "attribute":
        return compare(_VERSION_COLUMNS[one.key], one.operator, one.value)
    owner = (("model", versions.c.model), ("number", versions.c.number))
    return pair_matches(MODEL_VERSIONS, one, version_tags, *owner)


def _columns(
    orders: Sequence[OrderBy], columns: dict[str, sa.ColumnElement[Any]]
) -> list[sa.ColumnElement[Any]]:
    return [columns[one.key] if one.ascending else columns[one.key].desc() for one in orders]
