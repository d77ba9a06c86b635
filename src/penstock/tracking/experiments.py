"""Experiments in the store: making, naming, finding, taking away and bringing back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.database import upsert
from penstock.records.limits import (
    MAX_EXPERIMENT_NAME,
    MAX_EXPERIMENT_TAG_VALUE,
    MAX_INT64,
    check_key,
    limit_length,
)
from penstock.tracking.entities import Experiment
from penstock.tracking.tables import experiment_tags, experiments, runs

DEFAULT_ID = 0


def parse_experiment_id(text: str | int) -> int:
    """Return an experiment's id as a number.

    Raises:
        Invalid: it is none.
    """
    number = str(text).removeprefix("-")
    if not (number.isascii() and number.isdigit()) or int(text) > MAX_INT64 or len(number) > 19:
        raise Invalid(
            f"Invalid experiment ID '{str(text)[:100]}'. Experiment ID must be a valid integer.",
            code="tracking.bad_experiment_id",
        )
    return int(text)


def ensure_experiment(connection: sa.Connection, name: str) -> int:
    """Return the id of the experiment, making it when it is new."""
    found = connection.execute(sa.select(experiments.c.id).where(experiments.c.name == name)).scalar()
    return int(found) if found is not None else create_experiment(connection, name)


def create_experiment(
    connection: sa.Connection,
    name: str,
    artifact_uri: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> int:
    """Make an experiment and return its id.

    Raises:
        Invalid: the name is empty or too long, or a tag cannot be kept.
        Conflict: there is one of this name, or there was one that can be restored (`tracking.exists`).
    """
    _check_name(name)
    known = connection.execute(
        sa.select(experiments.c.id, experiments.c.deleted_ms).where(experiments.c.name == name)
    ).first()
    if known is not None:
        state = "" if known.deleted_ms is None else f" in the deleted state, with id {known.id}; restore it"
        raise Conflict(
            f"Experiment(name={name}) already exists{state}.", code="tracking.exists", experiment=name
        )
    done = connection.execute(
        experiments.insert().values(
            name=name, created_ms=now_ms(), updated_ms=now_ms(), artifact_uri=artifact_uri
        )
    )
    number = int((done.inserted_primary_key or [0])[0])
    for key, value in (tags or {}).items():
        set_experiment_tag(connection, number, key, value)
    return number


def get_experiment(connection: sa.Connection, number: int) -> Experiment:
    """Return an experiment, deleted ones too.

    Raises:
        NotFound: there is none.
    """
    found = _load(connection, [number])
    if not found:
        raise _no_experiment(number)
    return found[0]


def find_experiment(connection: sa.Connection, name: str) -> Experiment | None:
    """Return the experiment of a name, deleted ones too, or None."""
    number = connection.execute(sa.select(experiments.c.id).where(experiments.c.name == name)).scalar()
    return _load(connection, [number])[0] if number is not None else None


def get_by_name(connection: sa.Connection, name: str) -> Experiment:
    """Return the experiment of a name, deleted ones too.

    Raises:
        NotFound: there is none.
    """
    found = find_experiment(connection, name)
    if found is None:
        raise NotFound(f"there is no experiment {name!r}", code="tracking.no_experiment", name=name)
    return found


def list_experiments(connection: sa.Connection, numbers: Sequence[int]) -> list[Experiment]:
    """Return the experiments of these ids in this order; unknown ones are left out."""
    return _load(connection, numbers)


def list_active_ids(connection: sa.Connection) -> list[int]:
    """Return the ids of every experiment that is not deleted, the newest first."""
    query = sa.select(experiments.c.id).where(experiments.c.deleted_ms.is_(None))
    return list(
        connection.execute(query.order_by(experiments.c.created_ms.desc(), experiments.c.id.desc())).scalars()
    )


def rename_experiment(connection: sa.Connection, number: int, name: str) -> None:
    """Give an experiment another name.

    Raises:
        NotFound: there is none.
        Invalid: it is deleted, or the name cannot be one.
        Conflict: another experiment has the name (`tracking.exists`).
    """
    _check_name(name)
    experiment = get_experiment(connection, number)
    if experiment.deleted_ms is not None:
        raise Invalid(
            "Cannot rename a non-active experiment.", code="tracking.deleted", hint="restore it first"
        )
    other = find_experiment(connection, name)
    if other is not None and other.id != number:
        raise Conflict(f"Experiment(name={name}) already exists.", code="tracking.exists", experiment=name)
    _update(connection, number, name=name)


def delete_experiment(connection: sa.Connection, number: int) -> None:
    """Take an experiment away with its runs; `restore_experiment` brings back what went with it.

    Raises:
        NotFound: there is none, or it is deleted already.
    """
    if get_experiment(connection, number).deleted_ms is not None:
        raise _no_experiment(number)
    time_ms = now_ms()
    _update(connection, number, deleted_ms=time_ms)
    connection.execute(
        runs.update()
        .where(runs.c.experiment_id == number, runs.c.deleted_ms.is_(None))
        .values(deleted_ms=time_ms)
    )


def restore_experiment(connection: sa.Connection, number: int) -> None:
    """Bring a deleted experiment back, with the runs that went with it.

    Raises:
        NotFound: there is none that is deleted.
    """
    deleted_ms = get_experiment(connection, number).deleted_ms
    if deleted_ms is None:
        raise _no_experiment(number)
    _update(connection, number, deleted_ms=None)
    connection.execute(
        runs.update()
        .where(runs.c.experiment_id == number, runs.c.deleted_ms == deleted_ms)
        .values(deleted_ms=None)
    )


def set_experiment_tag(connection: sa.Connection, number: int, key: str, value: str) -> None:
    """Set one tag.

    Raises:
        NotFound: there is no such experiment.
        Invalid: it is deleted, or key or value cannot be kept.
    """
    check_key(key)
    limit_length("value", value, MAX_EXPERIMENT_TAG_VALUE)
    require_active(connection, number)
    insert = upsert(connection.dialect.name, experiment_tags).values(
        experiment_id=number, key=key, value=value
    )
    connection.execute(
        insert.on_conflict_do_update(index_elements=["experiment_id", "key"], set_={"value": value})
    )
    _update(connection, number)


def delete_experiment_tag(connection: sa.Connection, number: int, key: str) -> None:
    """Take one tag away.

    Raises:
        NotFound: there is no such experiment or tag.
        Invalid: the experiment is deleted.
    """
    require_active(connection, number)
    done = connection.execute(
        experiment_tags.delete().where(
            experiment_tags.c.experiment_id == number, experiment_tags.c.key == key
        )
    )
    if not done.rowcount:
        raise NotFound(f"No tag with name: {key} in experiment with id {number}", code="tracking.no_tag")
    _update(connection, number)


def require_active(connection: sa.Connection, number: int) -> None:
    """Check that an experiment can be written to.

    Raises:
        NotFound: there is none.
        Invalid: it is deleted.
    """
    row = connection.execute(sa.select(experiments.c.deleted_ms).where(experiments.c.id == number)).first()
    if row is None:
        raise _no_experiment(number)
    if row.deleted_ms is not None:
        raise Invalid(
            f"The experiment {number} must be in the 'active' state. Current state is deleted.",
            code="tracking.deleted",
            hint="restore it first",
        )


def _check_name(name: str) -> None:
    if not name.strip():
        raise Invalid(f"Invalid experiment name: '{name}'", code="tracking.bad_name")
    limit_length("name", name, MAX_EXPERIMENT_NAME)


def _no_experiment(number: int) -> NotFound:
    return NotFound(f"there is no experiment {number}", code="tracking.no_experiment", experiment=number)


def _update(connection: sa.Connection, number: int, **values: Any) -> None:
    connection.execute(
        experiments.update().where(experiments.c.id == number).values(updated_ms=now_ms(), **values)
    )


def _load(connection: sa.Connection, numbers: Sequence[int]) -> list[Experiment]:
    rows = {
        row["id"]: row
        for row in connection.execute(sa.select(experiments).where(experiments.c.id.in_(numbers))).mappings()
    }
    tags = _tags(connection, numbers)
    return [
        Experiment(
            **{name: rows[number][name] for name in Experiment.__struct_fields__ if name != "tags"},
            tags=tags.get(number, {}),
        )
        for number in numbers
        if number in rows
    ]


def _tags(connection: sa.Connection, numbers: Iterable[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    query = sa.select(experiment_tags).where(experiment_tags.c.experiment_id.in_(numbers))
    for row in connection.execute(query.order_by(experiment_tags.c.key)):
        found.setdefault(row.experiment_id, {})[row.key] = row.value
    return found
