"""Searches over registered models and versions: the filter grammar over the registry's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from penstock.records.search.entities import MODEL_VERSIONS, REGISTERED_MODELS
from penstock.records.search.grammar import Comparison, OrderBy, parse_filter, parse_order_by
from penstock.records.search.joining import all_of
from penstock.records.search.keyset import Cursor, Key, beyond, in_order, ranked, read_cursor
from penstock.records.search.pairs import pair_matches
from penstock.records.search.sql import compare
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
    after: Cursor | None = None
    only: sa.ColumnElement[bool] | None = None
    """A further condition: what the caller may see."""


def search_models(connection: sa.Connection, wanted: RegistrySearch) -> list[str]:
    """Return the names of models that match, by name where no order is asked for.

    Raises:
        Invalid: filter, order or place cannot be read.
    """
    query = sa.select(models.c.name).where(models.c.deleted_ms.is_(None))
    comparisons = parse_filter(wanted.filter, REGISTERED_MODELS)
    query = query.where(*all_of(connection, map(_model_matches, comparisons)))
    return list(connection.execute(_page(query, _model_keys(wanted), wanted)).scalars())


def model_cursor(connection: sa.Connection, wanted: RegistrySearch, name: str) -> Cursor:
    """Return a model's place in the order that a search asks for."""
    return read_cursor(connection, _model_keys(wanted), models.c.name == name)


def search_versions(connection: sa.Connection, wanted: RegistrySearch) -> list[VersionCard]:
    """Return versions that match; the last changed first where no order is asked for.

    Raises:
        Invalid: filter, order or place cannot be read.
    """
    query = select_cards()
    comparisons = parse_filter(wanted.filter, MODEL_VERSIONS)
    query = query.where(*all_of(connection, map(_version_matches, comparisons)))
    return load_cards(connection, _page(query, _version_keys(wanted), wanted))


def version_cursor(connection: sa.Connection, wanted: RegistrySearch, card: VersionCard) -> Cursor:
    """Return a version's place in the order that a search asks for."""
    here = sa.and_(versions.c.model == card.model, versions.c.number == card.number)
    return read_cursor(connection, _version_keys(wanted), here)


def _model_matches(one: Comparison) -> sa.ColumnElement[bool]:
    if one.kind == "attribute":
        return compare(_MODEL_COLUMNS[one.key], one.operator, one.value)
    return pair_matches(REGISTERED_MODELS, one, model_tags, ("model", models.c.name))


def _version_matches(one: Comparison) -> sa.ColumnElement[bool]:
    if one.kind == "attribute" and one.key == "run_id" and _may_be_empty(one):
        # a version without a run has the empty one's id, as in MLflow
        return compare(sa.func.coalesce(versions.c.run_id, ""), one.operator, one.value)
    if one.kind == "attribute":
        return compare(_VERSION_COLUMNS[one.key], one.operator, one.value)
    owner = (("model", versions.c.model), ("number", versions.c.number))
    return pair_matches(MODEL_VERSIONS, one, version_tags, *owner)


def _may_be_empty(one: Comparison) -> bool:
    """Say whether the empty text could pass; where not, the column's index serves."""
    values = one.value if isinstance(one.value, tuple) else (one.value,)
    return one.operator not in {"=", "IN"} or "" in values


def _model_keys(wanted: RegistrySearch) -> list[Key]:
    orders = parse_order_by(list(wanted.order_by), REGISTERED_MODELS)
    return [*_keys(orders, _MODEL_COLUMNS), Key(models.c.name)]


def _version_keys(wanted: RegistrySearch) -> list[Key]:
    orders = parse_order_by(list(wanted.order_by), MODEL_VERSIONS) or _NEWEST
    return [*_keys(orders, _VERSION_COLUMNS), Key(versions.c.model), Key(versions.c.number, False)]


def _keys(orders: Sequence[OrderBy], columns: dict[str, sa.ColumnElement[Any]]) -> list[Key]:
    return [key for one in orders for key in ranked(columns[one.key], one.ascending)]


def _page(query: sa.Select[Any], keys: Sequence[Key], wanted: RegistrySearch) -> sa.Select[Any]:
    if wanted.after is not None:
        query = query.where(beyond(keys, wanted.after))
    if wanted.only is not None:
        query = query.where(wanted.only)
    return in_order(query, keys).limit(wanted.limit)
