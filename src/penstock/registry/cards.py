"""Cards of versions: what lists, searches and clients are told, without content and provenance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from penstock.base.errors import NotFound
from penstock.registry.entities import VersionCard
from penstock.registry.names import check_name
from penstock.registry.tables import aliases, version_tags, versions

_PART = 400
_CARD = [versions.c[name] for name in VersionCard.__struct_fields__ if name not in {"tags", "aliases"}]
_LIVE = versions.c.deleted_ms.is_(None)


def get_card(connection: sa.Connection, model: str, number: int) -> VersionCard:
    """Return what is told of a version.

    Raises:
        NotFound: there is none.
        Invalid: the name cannot be one.
    """
    check_name(model)
    query = sa.select(*_CARD).where(versions.c.model == model, versions.c.number == number, _LIVE)
    found = load_cards(connection, query)
    if not found:
        raise no_version(model, number)
    return found[0]


def latest_cards(connection: sa.Connection, names: Sequence[str]) -> dict[str, list[VersionCard]]:
    """Return for each model its newest version in each stage."""
    found: dict[str, list[VersionCard]] = {}
    for start in range(0, len(names), _PART):
        newest = (
            sa.select(versions.c.model, sa.func.max(versions.c.number).label("number"))
            .where(versions.c.model.in_(names[start : start + _PART]), _LIVE)
            .group_by(versions.c.model, versions.c.stage)
            .subquery()
        )
        query = sa.select(*_CARD).join(
            newest, sa.and_(versions.c.model == newest.c.model, versions.c.number == newest.c.number)
        )
        for card in load_cards(connection, query.order_by(versions.c.model, versions.c.number)):
            found.setdefault(card.model, []).append(card)
    return found


def load_cards(connection: sa.Connection, query: sa.Select[Any]) -> list[VersionCard]:
    """Return the cards that a query of `select_cards` finds, in its order."""
    rows = list(connection.execute(query).mappings())
    names = sorted({row["model"] for row in rows})
    tags = tags_of(connection, [(row["model"], row["number"]) for row in rows])
    called: dict[tuple[str, int], list[str]] = {}
    for start in range(0, len(names), _PART):
        pointing = sa.select(aliases).where(aliases.c.model.in_(names[start : start + _PART]))
        for row in connection.execute(pointing.order_by(aliases.c.name)):
            called.setdefault((row.model, row.version), []).append(row.name)
    return [
        VersionCard(
            **{str(key): value for key, value in row.items()},
            tags=tags.get((row["model"], row["number"]), {}),
            aliases=tuple(called.get((row["model"], row["number"]), ())),
        )
        for row in rows
    ]


def select_cards() -> sa.Select[Any]:
    """Return the query of every version that is not deleted, for `load_cards`."""
    return sa.select(*_CARD).where(_LIVE)


def no_version(model: str, number: int | str) -> NotFound:
    """Make the error for a version that is not there."""
    return NotFound(
        f"there is no model version {model}/{number}",
        code="registry.no_version",
        hint="penstock model list",
        model=model,
        version=number,
    )


def tags_of(
    connection: sa.Connection, keys: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], dict[str, str]]:
    """Return the tags of versions by model and number; those without any are left out."""
    wanted: dict[str, list[int]] = {}
    for model, number in keys:
        wanted.setdefault(model, []).append(number)
    found: dict[tuple[str, int], dict[str, str]] = {}
    names = sorted(wanted)
    for start in range(0, len(names), _PART):
        part = names[start : start + _PART]
        query = sa.select(version_tags).where(version_tags.c.model.in_(part)).order_by(version_tags.c.key)
        if len(part) == 1 and len(wanted[part[0]]) <= _PART:
            query = query.where(version_tags.c.number.in_(wanted[part[0]]))
        for row in connection.execute(query):
            found.setdefault((row.model, row.number), {})[row.key] = row.value
    return found
