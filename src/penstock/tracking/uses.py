"""Which runs used some data, or had a stage's result in them: runs found by what went in, deleted ones too."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa

from penstock.tracking.tables import run_inputs, run_stages, run_tags, runs
from penstock.tracking.values import in_parts


class Use(NamedTuple):
    """A run that used data: which content, at which path. `deleted_ms` is when the run was deleted, None where it is there."""

    run_id: str
    path: str
    digest: str
    deleted_ms: int | None


class Making(NamedTuple):
    """A run that had a stage's result, and what it did with that stage."""

    run_id: str
    action: str
    deleted_ms: int | None


def list_uses(connection: sa.Connection, path: str, digests: Collection[str] = ()) -> list[Use]:
    """Return the uses of data at a path, whatever it held, and of these contents at any path; the newest run first."""
    columns = run_inputs.c
    query = sa.select(columns.run_id, columns.path, columns.digest, runs.c.deleted_ms).join(runs)
    query = query.where((columns.path == path) | columns.digest.in_(list(digests)))
    rows = connection.execute(query.order_by(runs.c.start_ms.desc(), columns.run_id, columns.path))
    return [Use(*row) for row in rows]


def list_digests(connection: sa.Connection, begin: str) -> list[tuple[str, str]]:
    """Return path and digest of what runs used whose digest begins so."""
    columns = run_inputs.c
    query = sa.select(columns.path, columns.digest).where(columns.digest.startswith(begin, autoescape=True))
    return [
        (row.path, row.digest)
        for row in connection.execute(query.distinct().order_by(*query.selected_columns))
    ]


def count_runs_by_input(connection: sa.Connection) -> dict[str, int]:
    """Return how many runs used data at each path."""
    columns = run_inputs.c
    query = sa.select(columns.path, sa.func.count(sa.distinct(columns.run_id))).group_by(columns.path)
    return {row[0]: row[1] for row in connection.execute(query)}


def list_makings(connection: sa.Connection, results: Collection[str]) -> dict[str, list[Making]]:
    """Return the runs that made a stage's result or found it made, by the digest of its lock entry, the newest first."""
    found: dict[str, list[Making]] = {}
    columns = run_stages.c
    for part in in_parts(list(results)):
        query = sa.select(columns.digest, columns.run_id, columns.action, runs.c.deleted_ms).join(runs)
        query = query.where(columns.digest.in_(part)).order_by(runs.c.start_ms.desc(), columns.run_id)
        for row in connection.execute(query):
            found.setdefault(row.digest, []).append(Making(row.run_id, row.action, row.deleted_ms))
    return found


def list_runs_of_tag(connection: sa.Connection, key: str, value: str) -> list[str]:
    """Return the runs that have a tag with this value, oldest first."""
    query = sa.select(runs.c.id).join(run_tags, run_tags.c.run_id == runs.c.id)
    query = query.where(run_tags.c.key == key, run_tags.c.value == value)
    return list(connection.execute(query.order_by(runs.c.start_ms)).scalars())


def find_commits(connection: sa.Connection, begin: str) -> list[str]:
    """Return the commits that begin so of all at which runs were made."""
    query = sa.select(runs.c.commit).where(runs.c.commit.startswith(begin, autoescape=True))
    return list(connection.execute(query.distinct().limit(2)).scalars())
