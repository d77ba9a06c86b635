"""Servers and projects that several tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.base.database import Database, connect
from penstock.base.migrate import upgrade
from projects import Sample
from servers.postgres import PostgresServer, find_programs, postgres_server
from servers.programs import missing


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL."""
    programs = find_programs()
    if programs is None:
        missing("PostgreSQL", "postgresql")
    with postgres_server(programs) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def either_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty store with its schema, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        opened = connect(f"sqlite:///{tmp_path}/store.db")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        opened = connect(server.new_database())
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Sample]:
    """A small project with data, pipeline and gates, committed, not yet reproduced."""
    made = Sample.make(tmp_path / "project")
    yield made
    made.project.close()
