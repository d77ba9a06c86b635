"""Servers and projects that several tests share."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from penstock.base.store.database import Database, connect
from penstock.base.store.migrate import upgrade
from projects import Sample
from servers.azure import AzureServer, run_azure
from servers.postgres import PostgresServer, find_programs, postgres_server
from servers.programs import missing
from servers.ssh import SshServer, run_ssh


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skip a failure under `CI=true`: there, everything a test needs can be installed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI: {reason}"
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL."""
    programs = find_programs()
    if programs is None:
        missing("PostgreSQL", "postgresql")
    with postgres_server(programs) as server:
        yield server


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureServer]:
    """A real emulator of Azure Blob Storage."""
    with run_azure(tmp_path_factory.mktemp("azurite") / "blobs") as server:
        yield server


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A real OpenSSH server."""
    with run_ssh(tmp_path_factory.mktemp("sshd") / "server") as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def either_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty store with its schema, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        opened = connect(f"sqlite:///{tmp_path}/store.db")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        opened = connect(server.new_schema())
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Sample]:
    """A small project with data, pipeline and gates, committed, not yet reproduced."""
    made = Sample.make(tmp_path / "project")
    yield made
    made.project.close()
