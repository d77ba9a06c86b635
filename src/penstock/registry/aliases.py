"""Aliases in the store: where a name points, and where it pointed at any time.

Whether an alias may move is a policy of `penstock.flows.models.aliases`; every door goes through that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Conflict
from penstock.base.store.events import record_event
from penstock.registry.entities import Alias, AliasMove
from penstock.registry.tables import alias_moves, aliases
from penstock.registry.webhooks import announce


def find_alias(connection: sa.Connection, model: str, name: str) -> Alias | None:
    """Return where an alias points, or None."""
    query = sa.select(aliases).where(aliases.c.model == model, aliases.c.name == name)
    row = connection.execute(query).mappings().first()
    return Alias(**row) if row else None


def find_alias_at(connection: sa.Connection, model: str, name: str, time_ms: int) -> Alias | None:
    """Return where an alias pointed at a time, or None where it was not set then."""
    query = (
        sa.select(alias_moves.c.version)
        .where(alias_moves.c.model == model, alias_moves.c.name == name, alias_moves.c.time_ms <= time_ms)
        .order_by(alias_moves.c.id.desc())
        .limit(1)
    )
    version = connection.execute(query).scalar()
    return None if version is None else Alias(model, name, version)


def list_aliases(
    connection: sa.Connection, model: str | None = None, version: int | None = None
) -> list[Alias]:
    """Return the aliases of a version, of a model, or of all."""
    query = sa.select(aliases).order_by(aliases.c.model, aliases.c.name)
    if model is not None:
        query = query.where(aliases.c.model == model)
    if version is not None:
        query = query.where(aliases.c.version == version)
    return [Alias(**row) for row in connection.execute(query).mappings()]


def move_alias(
    connection: sa.Connection,
    move: AliasMove,
    *,
    expected: int | None,
    cause: Mapping[str, Any] | None = None,
) -> None:
    """Point an alias at another version (or, with None, delete it), with its history and its event.

    Raises:
        Conflict: the alias does not point at `expected` any more.
    """
    query = aliases.select().where(aliases.c.model == move.model, aliases.c.name == move.name)
    current = connection.execute(query.with_for_update()).first()
    if (current.version if current else None) != expected:
        raise Conflict(
            f"{move.model}@{move.name} moved in the meantime: it is "
            f"{'version ' + str(current.version) if current else 'not set'} now",
            code="registry.alias_moved",
            hint="look at penstock model list and try again",
        )
    connection.execute(aliases.delete().where(aliases.c.model == move.model, aliases.c.name == move.name))
    if move.version is not None:
        connection.execute(aliases.insert().values(model=move.model, name=move.name, version=move.version))
    row = {**msgspec.to_builtins(move), "cause": dict(cause) if cause else move.cause}
    connection.execute(alias_moves.insert().values(row))
    _tell(connection, move, cause or {})


def list_moved_aliases(connection: sa.Connection, model: str) -> list[str]:
    """Return the names of a model's aliases by name, those that were taken away too."""
    query = sa.select(alias_moves.c.name).where(alias_moves.c.model == model).distinct()
    return list(connection.execute(query.order_by(alias_moves.c.name)).scalars())


def list_alias_moves(connection: sa.Connection, model: str, name: str) -> list[AliasMove]:
    """Return an alias's history, oldest first."""
    query = (
        sa.select(alias_moves)
        .where(alias_moves.c.model == model, alias_moves.c.name == name)
        .order_by(alias_moves.c.id)
    )
    return [_move(row) for row in connection.execute(query).mappings()]


def list_last_moves(connection: sa.Connection, model: str | None = None) -> list[AliasMove]:
    """Return how each alias that is set came to where it points, ordered by model and name."""
    last = (
        sa.select(sa.func.max(alias_moves.c.id).label("id"))
        .join_from(
            aliases,
            alias_moves,
            sa.and_(alias_moves.c.model == aliases.c.model, alias_moves.c.name == aliases.c.name),
        )
        .group_by(aliases.c.model, aliases.c.name)
    )
    query = (
        sa.select(alias_moves)
        .where(alias_moves.c.id.in_(last))
        .order_by(alias_moves.c.model, alias_moves.c.name)
    )
    if model is not None:
        query = query.where(alias_moves.c.model == model)
    return [_move(row) for row in connection.execute(query).mappings()]


def _move(row: Mapping[Any, Any]) -> AliasMove:
    return AliasMove(**{str(key): value for key, value in row.items() if key != "id"})


def _tell(connection: sa.Connection, move: AliasMove, cause: Mapping[str, Any]) -> None:
    names = {"name": move.model, "alias": move.name}
    if move.version is None:
        record_event(
            connection,
            "model.alias_deleted",
            f"model:{move.model}/{move.previous}",
            move.actor,
            f"{move.model}@{move.name} was taken away",
            cause=cause,
            before={"version": move.previous},
        )
        announce(connection, "model_version_alias.deleted", names)
        return
    record_event(
        connection,
        "model.promoted",
        f"model:{move.model}/{move.version}",
        move.actor,
        f"{move.model}/{move.version} is {move.name} now"
        + (f", it was {move.model}/{move.previous}" if move.previous else ""),
        cause={"verdict": move.verdict_id, **cause},
        before={"version": move.previous},
        after={"version": move.version},
    )
    announce(connection, "model_version_alias.created", {**names, "version": str(move.version)})
