"""Parameters and tags of a run: a parameter keeps its first value, a tag its last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Invalid, NotFound
from penstock.base.store.database import upsert
from penstock.records.limits import MAX_JSON_TAG_VALUE, MAX_PARAM_VALUE, MAX_TAG_VALUE
from penstock.tracking.entities import NAME_TAG
from penstock.tracking.tables import run_params, run_tags, runs

MAX_PLACES = 500


def log_params(connection: sa.Connection, run_id: str, params: Mapping[str, str]) -> None:
    """Add parameters; one that is there already must have the same value. Long values are cut.

    Raises:
        Invalid: a parameter exists with another value.
    """
    if not params:
        return
    wanted = {key: value[:MAX_PARAM_VALUE] for key, value in params.items()}
    rows = [{"run_id": run_id, "key": key, "value": value} for key, value in wanted.items()]
    connection.execute(_add_params(connection.dialect.name), rows)
    for key, value in connection.execute(_PARAMS, {"run_id": run_id, "keys": list(wanted)}):
        if value != wanted[key]:
            raise Invalid(
                f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                f"value='{value}' for run ID='{run_id}'. Attempted logging new value '{wanted[key]}'.",
                code="tracking.parameter_changed",
                hint="start another run",
            )


def set_tags(connection: sa.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, replacing those of the same name. Long values are cut, JSON as `fit_tag` says."""
    if not tags:
        return
    connection.execute(
        _put_tags(connection.dialect.name),
        [{"run_id": run_id, "key": key, "value": fit_tag(value)} for key, value in tags.items()],
    )
    if NAME_TAG in tags:
        connection.execute(runs.update().where(runs.c.id == run_id).values(name=fit_tag(tags[NAME_TAG])))


def fit_tag(value: str) -> str:
    """Return a tag's value as it is kept: a text's first `MAX_TAG_VALUE` characters, JSON so that it stays JSON.

    An array or object is kept whole up to `MAX_JSON_TAG_VALUE`; beyond that an array loses its oldest entries.
    Clients read such a tag, add to it and write it back.

    Example:
        >>> len(fit_tag("x" * 9000)), len(fit_tag("[" + ",".join(["7"] * 9000) + "]"))
        (8000, 18001)
    """
    if len(value) <= MAX_TAG_VALUE:
        return value
    if value.lstrip()[:1] in {"[", "{"}:
        try:
            found = msgspec.json.decode(value, type=list[msgspec.Raw] | dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return value[:MAX_TAG_VALUE]
        if len(value) <= MAX_JSON_TAG_VALUE:
            return value
        if isinstance(found, list):
            return msgspec.json.encode(_newest_that_fit(found)).decode()
    return value[:MAX_TAG_VALUE]


def _newest_that_fit(entries: list[msgspec.Raw]) -> list[msgspec.Raw]:
    left = MAX_JSON_TAG_VALUE - 2
    for place in range(len(entries) - 1, -1, -1):
        left -= len(bytes(entries[place]).decode()) + 1
        if left < 0:
            return entries[place + 1 :]
    return entries


def delete_tag(connection: sa.Connection, run_id: str, key: str) -> None:
    """Take a tag away.

    Raises:
        NotFound: the run has no such tag.
    """
    done = connection.execute(run_tags.delete().where(run_tags.c.run_id == run_id, run_tags.c.key == key))
    if not done.rowcount:
        raise NotFound(f"No tag with name: {key} in run with id {run_id}", code="tracking.no_tag")


def list_pairs(
    connection: sa.Connection, table: sa.Table, owners: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return keys and values by owner of a table of pairs, keys in order; an owner without any has no entry."""
    found: dict[str, dict[str, str]] = {}
    for part in in_parts(owners):
        for name, key, value in connection.execute(_pairs_of(table), {"owners": part}).all():
            found.setdefault(name, {})[key] = value
    return found


def in_parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield ids in parts that a statement has places for."""
    for start in range(0, len(ids), MAX_PLACES):
        yield ids[start : start + MAX_PLACES]


# Statements are built once: building one costs three times as much as running it.
_PARAMS = sa.select(run_params.c.key, run_params.c.value).where(
    run_params.c.run_id == sa.bindparam("run_id"), run_params.c.key.in_(sa.bindparam("keys", expanding=True))
)


@cache
def _add_params(dialect: str) -> sa.Insert:
    insert: sa.Insert = upsert(dialect, run_params).on_conflict_do_nothing()
    return insert


@cache
def _put_tags(dialect: str) -> sa.Insert:
    insert = upsert(dialect, run_tags)
    put: sa.Insert = insert.on_conflict_do_update(
        index_elements=["run_id", "key"], set_={"value": insert.excluded.value}
    )
    return put


@cache
def _pairs_of(table: sa.Table) -> sa.Select[str, str, str]:
    owner = table.c[0]
    return (
        sa.select(owner, table.c.key, table.c.value)
        .where(owner.in_(sa.bindparam("owners", expanding=True)))
        .order_by(owner, table.c.key)
    )
