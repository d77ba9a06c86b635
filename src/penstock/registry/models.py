"""Registered models: making, renaming, describing, taking away.

All runs in the caller's transaction, with its event. A name given up remembers its highest number, and its versions.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.database import upsert
from penstock.base.store.events import record_event
from penstock.records.limits import check_key
from penstock.registry.entities import RegisteredModel
from penstock.registry.names import check_name, check_tag
from penstock.registry.tables import (
    alias_moves,
    aliases,
    model_tags,
    models,
    verdicts,
    version_inputs,
    version_states,
    version_tags,
    versions,
)
from penstock.registry.webhooks import announce

MAX_MOVES = 16
_PART = 500


def create_model(
    connection: sa.Connection,
    name: str,
    actor: str,
    *,
    tags: Mapping[str, str] | None = None,
    description: str | None = None,
) -> RegisteredModel:
    """Make a model; under the name of one that was taken away it goes on counting where that stopped.

    Raises:
        Conflict: there is one of this name (`registry.model.exists`).
        Invalid: name or tags cannot be such.
    """
    check_name(name)
    pairs = dict(check_tag(key, value) for key, value in (tags or {}).items())
    if not _add(connection, name, description):
        raise _exists(name)
    if pairs:
        connection.execute(
            model_tags.insert(), [{"model": name, "key": key, "value": value} for key, value in pairs.items()]
        )
    record_event(connection, "model.created", f"model:{name}", actor, f"{name} was made")
    _announce(connection, name, pairs, description)
    return get_model(connection, name)


def ensure_model(connection: sa.Connection, name: str) -> None:
    """Make a model where there is none; the event is that of its first version.

    Raises:
        Invalid: the name cannot be one.
    """
    check_name(name)
    if not _is_live(connection, name) and _add(connection, name, None):
        _announce(connection, name, {}, None)


def get_model(connection: sa.Connection, name: str) -> RegisteredModel:
    """Return a model that is not deleted.

    Raises:
        NotFound: there is none.
        Invalid: the name cannot be one.
    """
    found = list_models(connection, [check_name(name)])
    if not found:
        raise no_model(name)
    return found[0]


def no_model(name: str) -> NotFound:
    """Make the error for a model that is not there."""
    return NotFound(
        f"there is no model {name}",
        code="registry.no_model",
        hint="penstock model list",
        model=name,
    )


def list_models(connection: sa.Connection, names: Sequence[str]) -> list[RegisteredModel]:
    """Return the models of these names in this order; unknown and deleted ones are left out."""
    rows, tags = dict[str, Any](), dict[str, dict[str, str]]()
    for start in range(0, len(names), _PART):
        part = names[start : start + _PART]
        query = sa.select(models).where(models.c.name.in_(part), models.c.deleted_ms.is_(None))
        rows |= {row.name: row for row in connection.execute(query)}
        pairs = sa.select(model_tags).where(model_tags.c.model.in_(part)).order_by(model_tags.c.key)
        for row in connection.execute(pairs):
            tags.setdefault(row.model, {})[row.key] = row.value
    return [
        RegisteredModel(
            name=name,
            created_ms=rows[name].created_ms,
            updated_ms=rows[name].updated_ms,
            description=rows[name].description,
            tags=tags.get(name, {}),
        )
        for name in names
        if name in rows
    ]


def rename_model(connection: sa.Connection, name: str, new_name: str, actor: str) -> RegisteredModel:
    """Give a model another name; versions, tags, aliases, their history, rollbacks and verdicts follow.

    References by the old name go on finding the versions that had it.

    Raises:
        NotFound: there is no such model.
        Conflict: there is one of the new name, or there was, so that its numbers mean other versions.
        Invalid: the new name cannot be one.
    """
    model = get_model(connection, name)
    check_name(new_name, "new_name")
    time_ms = now_ms()
    if new_name != name:
        _free(connection, name, new_name)
        row = connection.execute(sa.select(models).where(models.c.name == name)).one()
        _put(
            connection,
            new_name,
            created_ms=row.created_ms,
            updated_ms=time_ms,
            description=row.description,
            newest_number=row.newest_number,
        )
        _move_children(connection, name, new_name, time_ms)
        given_up = {"deleted_ms": time_ms, "moved_to": new_name, "description": None}
        connection.execute(models.update().where(models.c.name == name).values(**given_up))
        record_event(
            connection,
            "model.renamed",
            f"model:{new_name}",
            actor,
            f"{name} is called {new_name} now",
            before={"name": name},
            after={"name": new_name},
        )
    else:
        touch(connection, model.name, time_ms)
    return get_model(connection, new_name)


def describe_registered(
    connection: sa.Connection, name: str, description: str | None, actor: str
) -> RegisteredModel:
    """Set a model's description.

    Raises:
        NotFound: there is no such model.
    """
    before = get_model(connection, name)
    connection.execute(
        models.update().where(models.c.name == name).values(description=description, updated_ms=now_ms())
    )
    record_event(
        connection,
        "model.described",
        f"model:{name}",
        actor,
        f"{name} was described",
        before={"description": before.description},
        after={"description": description},
    )
    return get_model(connection, name)


def delete_model(connection: sa.Connection, name: str, actor: str) -> None:
    """Take a model away with its versions and tags; the caller has taken its aliases away.

    Rows and files stay until a purge.

    Raises:
        NotFound: there is none.
    """
    get_model(connection, name)
    time_ms = now_ms()
    connection.execute(model_tags.delete().where(model_tags.c.model == name))
    connection.execute(
        versions.update()
        .where(versions.c.model == name, versions.c.deleted_ms.is_(None))
        .values(deleted_ms=time_ms, updated_ms=time_ms)
    )
    connection.execute(
        models.update()
        .where(models.c.name == name)
        .values(deleted_ms=time_ms, updated_ms=time_ms, description=None)
    )
    record_event(connection, "model.deleted", f"model:{name}", actor, f"{name} was deleted")


def restore_model(connection: sa.Connection, name: str, actor: str) -> list[int]:
    """Bring a model back that was taken away, with the versions that were so with it; return their numbers.

    Its tags, description and aliases stay away, and versions that were taken away before.

    Raises:
        NotFound: there is none, or it has another name now.
        Invalid: it was not taken away.
    """
    row = connection.execute(sa.select(models).where(models.c.name == check_name(name))).first()
    if row is None or row.moved_to is not None:
        raise no_model(name)
    if row.deleted_ms is None:
        raise Invalid(
            f"the model {name} is not deleted",
            code="registry.not_deleted",
            hint=f"penstock model restore {shlex.quote(f'{name}/N')} brings a version back",
            model=name,
        )
    time_ms = now_ms()
    back = (
        versions.update()
        .where(versions.c.model == name, versions.c.deleted_ms == row.deleted_ms)
        .values(deleted_ms=None, updated_ms=time_ms)
        .returning(versions.c.number)
    )
    numbers = sorted(connection.execute(back).scalars())
    revive(connection, name, time_ms)
    record_event(
        connection,
        "model.restored",
        f"model:{name}",
        actor,
        f"{name} was restored",
        after={"versions": numbers},
    )
    return numbers


def revive(connection: sa.Connection, name: str, time_ms: int) -> None:
    """Note that something of a model changed, and that the model is there."""
    connection.execute(
        models.update().where(models.c.name == name).values(updated_ms=time_ms, deleted_ms=None)
    )


def set_model_tag(connection: sa.Connection, name: str, key: str, value: str, actor: str) -> None:
    """Set a tag, replacing its value.

    Raises:
        NotFound: there is no such model.
        Invalid: key or value cannot be such.
    """
    check_tag(key, value)
    before = get_model(connection, name).tags.get(key)
    insert = upsert(connection.dialect.name, model_tags).values(model=name, key=key, value=value)
    connection.execute(
        insert.on_conflict_do_update(index_elements=["model", "key"], set_={"value": insert.excluded.value})
    )
    record_event(
        connection,
        "model.tag_set",
        f"model:{name}",
        actor,
        f"{name} has the tag {key}",
        before={key: before},
        after={key: value},
    )


def delete_model_tag(connection: sa.Connection, name: str, key: str, actor: str) -> None:
    """Take a tag away; one that is not there is away already.

    Raises:
        NotFound: there is no such model.
    """
    check_key(key)
    before = get_model(connection, name).tags
    if key in before:
        connection.execute(model_tags.delete().where(model_tags.c.model == name, model_tags.c.key == key))
        record_event(
            connection,
            "model.tag_deleted",
            f"model:{name}",
            actor,
            f"{name} has the tag {key} no more",
            before={key: before[key]},
        )


def take_number(connection: sa.Connection, name: str, time_ms: int) -> int:
    """Return the next version's number, which is given once; the model's row stays locked until commit."""
    query = (
        models.update()
        .where(models.c.name == name)
        .values(newest_number=models.c.newest_number + 1, updated_ms=time_ms)
        .returning(models.c.newest_number)
    )
    return int(connection.execute(query).scalar_one())


def touch(connection: sa.Connection, name: str, time_ms: int) -> None:
    """Note that something of a model changed."""
    connection.execute(models.update().where(models.c.name == name).values(updated_ms=time_ms))


def follow_name(connection: sa.Connection, name: str, number: int) -> str:
    """Return the name that a version registered as `name/number` has now."""
    for _ in range(MAX_MOVES):
        row = connection.execute(
            sa.select(models.c.moved_to, models.c.newest_number).where(models.c.name == name)
        ).first()
        if row is None or row.moved_to is None or number > row.newest_number:
            break
        name = row.moved_to
    return name


def _add(connection: sa.Connection, name: str, description: str | None) -> bool:
    """Insert a row, or bring a deleted one back; False when there is a live one."""
    time_ms = now_ms()
    values = {"created_ms": time_ms, "updated_ms": time_ms, "description": description}
    insert = upsert(connection.dialect.name, models).values(name=name, **values).on_conflict_do_nothing()
    if connection.execute(insert.returning(models.c.name)).first() is not None:
        return True
    revive = models.update().where(models.c.name == name, models.c.deleted_ms.is_not(None))
    return bool(connection.execute(revive.values(deleted_ms=None, **values)).rowcount)


def _put(connection: sa.Connection, name: str, **values: Any) -> None:
    whole = {**values, "deleted_ms": None, "moved_to": None}
    insert = upsert(connection.dialect.name, models).values(name=name, **whole)
    connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=whole))


def _free(connection: sa.Connection, name: str, new_name: str) -> None:
    """Check that a name may be taken by another model.

    Raises:
        Conflict: it may not.
    """
    row = connection.execute(sa.select(models).where(models.c.name == new_name)).first()
    if row is None or (row.deleted_ms is not None and row.newest_number == 0):
        return
    if row.deleted_ms is None:
        raise _exists(new_name)
    own = connection.execute(
        sa.select(versions.c.number).where(versions.c.model == new_name).limit(1)
    ).first()
    if own is not None or follow_name(connection, new_name, 1) != name:
        raise Conflict(
            f"{new_name} was the name of another model, whose versions {new_name}/1 to "
            f"{new_name}/{row.newest_number} it still means",
            code="registry.name_used",
            hint="choose a name that was never used",
            model=new_name,
        )


def _move_children(connection: sa.Connection, name: str, new_name: str, time_ms: int) -> None:
    of_versions = (version_tags, version_inputs)
    kept = {}
    for table in of_versions:
        rows = connection.execute(sa.select(table).where(table.c.model == name)).mappings()
        kept[table.name] = [dict(row) for row in rows]
        connection.execute(table.delete().where(table.c.model == name))
    connection.execute(
        versions.update().where(versions.c.model == name).values(model=new_name, updated_ms=time_ms)
    )
    for table in of_versions:
        if kept[table.name]:
            connection.execute(table.insert(), [{**row, "model": new_name} for row in kept[table.name]])
    for table in (model_tags, aliases, alias_moves, version_states, verdicts):
        connection.execute(table.update().where(table.c.model == name).values(model=new_name))


def _announce(connection: sa.Connection, name: str, tags: Mapping[str, str], description: str | None) -> None:
    made = {"name": name, "tags": dict(tags), "description": description}
    announce(connection, "registered_model.created", made)


def _is_live(connection: sa.Connection, name: str) -> bool:
    query = sa.select(models.c.name).where(models.c.name == name, models.c.deleted_ms.is_(None))
    return connection.execute(query).first() is not None


def _exists(name: str) -> Conflict:
    return Conflict(
        f"Registered Model (name={name}) already exists.", code="registry.model.exists", model=name
    )
