"""Copy a whole store into another, empty one: SQLite to PostgreSQL, back, or to a file that can be kept.

Ids, times and histories stay as they are. Everything is written in one transaction: a copy that is
interrupted leaves the target as it was.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.store.database import Database, connect
from penstock.base.store.head import HEAD
from penstock.base.store.migrate import current_version, upgrade

BATCH = 5000
VERSION_TABLE = "alembic_version"


@dataclass(frozen=True)
class Copied:
    """How many rows each table got."""

    rows: dict[str, int]

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.rows.values())


def copy_store(source_url: str, target_url: str) -> Copied:
    """Copy every row of a store into an empty one, whose schema is made.

    Raises:
        NotFound: the source holds no store.
        Invalid: the source's schema is not this program's, or both are the same.
        Invalid: a row cannot be kept by the target (`store.bad_row`); the error names it.
        Conflict: the target holds something already.
    """
    if source_url == target_url:
        raise Invalid("source and target are the same store", code="store.same", hint="name another target")
    source, target = connect(source_url, must_exist=True), connect(target_url)
    try:
        _check_source(source)
        upgrade(target)
        with source.read() as reading, target.write() as writing:
            _check_empty(writing, target)
            return Copied(_copy(reading, writing))
    finally:
        source.close()
        target.close()


def tables_of(connection: sa.Connection) -> list[sa.Table]:
    """Return a store's tables as they are in the database, those that others refer to first."""
    found = sa.MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != VERSION_TABLE]


def reset_sequences(connection: sa.Connection, tables: list[sa.Table]) -> None:
    """Let PostgreSQL's counters go on behind the greatest id; SQLite's follow by themselves."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        if "id" in table.c and isinstance(table.c.id.type, sa.Integer | sa.BigInteger):
            name = connection.execute(sa.select(sa.func.pg_get_serial_sequence(table.name, "id"))).scalar()
            greatest = connection.execute(sa.select(sa.func.max(table.c.id))).scalar()
            if name and greatest:
                connection.execute(sa.select(sa.func.setval(name, greatest)))


def _check_source(source: Database) -> None:
    version = current_version(source)
    if version is None:
        raise NotFound(
            f"{source.url} holds no store of Penstock",
            code="store.not_found",
            hint="penstock db import takes the database of an MLflow server",
        )
    if version != HEAD:
        raise Invalid(
            f"{source.url} has schema {version}, this program has {HEAD}",
            code="store.other_schema",
            hint=f"penstock db upgrade {shlex.quote(source.url)}",
        )


def _check_empty(connection: sa.Connection, target: Database) -> None:
    """Check that nothing but the default experiment is there, and take that away."""
    for table in tables_of(connection):
        kept = sa.select(sa.func.count()).select_from(table)
        if table.name == "experiments":
            kept = kept.where(table.c.id != 0)
        if connection.execute(kept).scalar_one():
            raise Conflict(
                f"{target.url} is not empty: {table.name} has rows",
                code="store.not_empty",
                hint="name a new database",
            )
    connection.exec_driver_sql("DELETE FROM experiments")


def _copy(reading: sa.Connection, writing: sa.Connection) -> dict[str, int]:
    targets = {table.name: table for table in tables_of(writing)}
    counts = {}
    for table in tables_of(reading):
        rows = reading.execution_options(yield_per=BATCH).execute(sa.select(table)).mappings()
        count = 0
        for part in rows.partitions(BATCH):
            _put(writing, targets[table.name], [dict(row) for row in part])
            count += len(part)
        counts[table.name] = count
    reset_sequences(writing, list(targets.values()))
    return counts


def _put(writing: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows; where the target refuses, halve them until the one that it cannot keep is found.

    Raises:
        Invalid: as `copy_store`.
    """
    try:
        with writing.begin_nested():
            writing.execute(table.insert(), rows)
    except (sa.exc.DataError, sa.exc.IntegrityError, Invalid) as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            _put(writing, table, rows[:middle])
            _put(writing, table, rows[middle:])
            return
        cause = error.message if isinstance(error, Invalid) else str(error.orig).strip()
        key = ", ".join(f"{column.name} {rows[0][column.name]!r}" for column in table.primary_key)
        raise Invalid(
            f"the target cannot keep a row of the table {table.name} ({key}): {cause}",
            code="store.bad_row",
            hint="change or delete the row in the source, then copy again",
            table=table.name,
        ) from error
