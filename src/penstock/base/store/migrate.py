"""Bring a store's schema to this program's version, by Alembic migrations.

A store of a newer program is refused rather than guessed at. A new store is made from one script
(`penstock.base.store.schema`); Alembic is imported only where there is something to migrate.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid
from penstock.base.store.database import Database
from penstock.base.store.head import HEAD
from penstock.base.store.schema import run_script

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Database) -> None:
    """Create or upgrade the schema; does nothing when it is current. Two processes may call it at once.

    Raises:
        Invalid: the schema is newer than this program.
    """
    current = current_version(database)
    if current == HEAD:
        _date_default(database)
        return
    if current is not None and not current.isdecimal():
        raise Invalid(
            f"{database.url} is another program's database: its schema is called {current}",
            code="store.foreign",
            hint=f"penstock db import {shlex.quote(database.url)} brings what an MLflow server has kept there",
        )
    if current is not None and current > HEAD:
        raise Invalid(
            f"the store {database.url} has schema {current}, this program knows {HEAD}",
            code="store.too_new",
            hint="upgrade penstock",
        )
    if current is None:
        _create(database)
    else:
        run_migrations(database)
    _date_default(database)


def run_migrations(database: Database, target: str = "head") -> None:
    """Run the migrations that a store lacks up to a version, in one transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.write() as connection:
        _lock(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, target)


def current_version(database: Database) -> str | None:
    """Return the schema's version, or None for an empty store."""
    with database.read() as connection:
        return _version(connection)


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _date_default(database: Database) -> None:
    """Give the experiment that every store begins with its time: now, or that of its first run."""
    undated = "FROM experiments WHERE id = 0 AND created_ms = 0"
    with database.read() as connection:
        if connection.exec_driver_sql(f"SELECT 1 {undated}").scalar() is None:
            return
    first = "SELECT min(start_ms) FROM runs WHERE experiment_id = 0 AND start_ms > 0"
    change = (
        f"UPDATE experiments SET created_ms = coalesce(({first}), :now), "
        "updated_ms = CASE WHEN updated_ms = 0 THEN :now ELSE updated_ms END WHERE id = 0 AND created_ms = 0"
    )
    with database.write() as connection:
        connection.execute(sa.text(change), {"now": now_ms()})


def _create(database: Database) -> None:
    """Make an empty store's schema from the script; another process may have done so meanwhile."""
    with database.write() as connection:
        _lock(connection)
        if _version(connection) is None:
            run_script(connection)


def _lock(connection: sa.Connection) -> None:
    """Let one process at a time change the schema; a writer of SQLite is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7253611)")
