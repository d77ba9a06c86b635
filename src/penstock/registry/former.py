"""Names that versions had before their models were renamed: what was signed, or written as an event, goes on saying them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from penstock.registry.models import MAX_MOVES
from penstock.registry.tables import models, versions

Key = tuple[str, int]
"""A model's name and a version's number."""
_Moves = Mapping[str, tuple[str, int]]


def list_former_names(connection: sa.Connection, keys: Collection[Key]) -> dict[Key, tuple[str, ...]]:
    """Return the names that models of versions had before, by name; a name means no version that another has by it now.

    Args:
        keys: the versions, by the names that they have now.
    """
    moves = _list_moves(connection)
    meant = {
        (old, number): (model, number)
        for old in sorted(moves)
        for model, number in keys
        if old != model and _follow(moves, old, number) == model
    }
    taken = _list_taken(connection, meant)
    found: dict[Key, list[str]] = {key: [] for key in keys}
    for (old, number), key in meant.items():
        if (old, number) not in taken:
            found[key].append(old)
    return {key: tuple(names) for key, names in found.items()}


def list_present_names(connection: sa.Connection, keys: Collection[Key]) -> dict[Key, str]:
    """Return the names that models have now of versions that were known as `keys`."""
    moves = _list_moves(connection)
    taken = _list_taken(connection, [key for key in keys if key[0] in moves])
    return {key: key[0] if key in taken else _follow(moves, *key) for key in keys}


def list_numbers(connection: sa.Connection, model: str) -> list[int]:
    """Return the numbers of the versions that a model has, and had taken away."""
    query = sa.select(versions.c.number).where(versions.c.model == model).order_by(versions.c.number)
    return list(connection.execute(query).scalars())


def _list_moves(connection: sa.Connection) -> _Moves:
    """Return where names that were given up lead, and the highest number that each gave."""
    query = sa.select(models.c.name, models.c.moved_to, models.c.newest_number).where(
        models.c.moved_to.is_not(None)
    )
    return {row.name: (row.moved_to, row.newest_number) for row in connection.execute(query)}


def _list_taken(connection: sa.Connection, keys: Collection[Key]) -> frozenset[Key]:
    if not keys:
        return frozenset()
    named = sa.tuple_(versions.c.model, versions.c.number).in_(sorted(keys))
    rows = connection.execute(sa.select(versions.c.model, versions.c.number).where(named))
    return frozenset((row.model, row.number) for row in rows)


def _follow(moves: _Moves, name: str, number: int) -> str:
    for _ in range(MAX_MOVES):
        if name not in moves or number > moves[name][1]:
            break
        name = moves[name][0]
    return name
