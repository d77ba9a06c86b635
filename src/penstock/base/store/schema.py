"""The schema as one script for a new store of each kind: what all migrations end at, without running them.

The scripts are written by `make schema` from stores that the migrations made; a test keeps them equal. That of SQLite is
the schema itself, that of PostgreSQL what the migrations did to an empty database, in their order. It saves a fifth of a
server's first start, which would go into importing Alembic; PostgreSQL takes all statements in one message.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from penstock.base.store.database import Database
from penstock.base.store.script import SCRIPT

POSTGRESQL_SCRIPT = SCRIPT.with_name("postgresql.sql")


def dump_schema(database: Path) -> str:
    """Return the script that makes a store like an SQLite file, its rows included."""
    connection = sqlite3.connect(database)
    try:
        lines = [line for line in connection.iterdump() if line not in {"BEGIN TRANSACTION;", "COMMIT;"}]
    finally:
        connection.close()
    return "\n".join(lines) + "\n"


@contextmanager
def recorded(database: Database) -> Iterator[list[str]]:
    """Yield a list that fills with the statements that are run on a store, but for questions.

    Raises:
        ValueError: one has parameters, which a script cannot have.
    """
    found: list[str] = []

    def note(_one: Any, _two: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if not statement.lstrip().upper().startswith("SELECT"):
            if parameters:
                raise ValueError(f"a script cannot have the parameters of {statement}")
            found.append("\n".join(line.rstrip() for line in statement.strip().splitlines()))

    sa.event.listen(database.engine, "after_cursor_execute", note)
    yield found
    sa.event.remove(database.engine, "after_cursor_execute", note)


def script_of(statements: list[str]) -> str:
    """Return statements as one script."""
    return "".join(f"{statement};\n" for statement in statements)


def run_script(connection: sa.Connection) -> None:
    """Make an empty store's schema."""
    if connection.dialect.name == "sqlite":
        for statement in read_statements():
            connection.exec_driver_sql(statement)
    else:
        at_once = connection.execution_options(no_parameters=True)
        at_once.exec_driver_sql(POSTGRESQL_SCRIPT.read_text())


def read_statements() -> Iterator[str]:
    """Yield the statements of SQLite's script one by one."""
    pending = ""
    for line in SCRIPT.read_text().splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
