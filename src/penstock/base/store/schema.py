"""The schema as one script, for a new SQLite store: what all migrations end at, without running them.

The script is written by `make schema` from a store that the migrations made; a test keeps the two equal. It
saves a fifth of a server's first start, which would go into importing Alembic.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

SCRIPT = Path(__file__).parent / "migrations" / "sqlite.sql"


def dump_schema(database: Path) -> str:
    """Return the script that makes a store like an SQLite file, its rows included."""
    connection = sqlite3.connect(database)
    try:
        lines = [line for line in connection.iterdump() if line not in {"BEGIN TRANSACTION;", "COMMIT;"}]
    finally:
        connection.close()
    return "\n".join(lines) + "\n"


def read_statements() -> Iterator[str]:
    """Yield the script's statements one by one."""
    pending = ""
    for line in SCRIPT.read_text().splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
