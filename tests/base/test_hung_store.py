"""A PostgreSQL that has hung, stopped by a signal: who asks it is told in bounded time; one that works for long is waited for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from patience import PATIENCE_S, wait_until
from penstock.base.errors import Unavailable
from penstock.base.store import database as store
from penstock.base.store import postgresql
from penstock.base.store.database import Database, connect
from penstock.processes.controller import ControllerLoop
from penstock.project.places import Places
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from servers.postgres import PostgresServer, run_postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A server that nobody else asks, so that it may be stopped."""
    with run_postgres(tmp_path_factory.mktemp("hung")) as server:
        yield server


@pytest.fixture
def database(own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A store on it that is impatient."""
    monkeypatch.setattr(postgresql, "SILENT_S", 0.3)
    monkeypatch.setattr(postgresql, "PROBE_S", 1)
    monkeypatch.setattr(postgresql, "CONNECT_S", 1)
    opened = connect(own_postgres.new_database())
    yield opened
    opened.close()


def ask(database: Database, words: str) -> object:
    with database.read() as connection:
        return connection.execute(sa.text(words)).scalar()


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def postmaster_of(database: Database) -> int:
    folder = Path(str(ask(database, "SHOW data_directory")))
    return int((folder / "postmaster.pid").read_text().splitlines()[0])


def test_a_server_that_hangs_is_told_to_who_waits_and_to_who_comes_and_is_asked_again_when_it_goes_on(
    database: Database,
) -> None:
    postmaster = postmaster_of(database)
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    with stopped(postmaster, *map(int, children)):
        begun_s = time.monotonic()
        with pytest.raises(Unavailable, match="the server has hung: nothing came for") as caught:
            ask(database, "SELECT 1")
        assert caught.value.code == "store.unavailable"
        with pytest.raises(Unavailable, match="connection timeout expired"):
            ask(database, "SELECT 1")
        assert time.monotonic() - begun_s < PATIENCE_S
    assert ask(database, "SELECT 1") == 1


def test_a_server_that_works_for_long_is_waited_for(database: Database) -> None:
    with database.write() as connection:
        assert connection.execute(sa.text("SELECT 7 FROM pg_sleep(1.5)")).scalar() == 7
    assert ask(database, "SELECT 8 FROM pg_sleep(1.5)") == 8


def test_a_single_process_of_it_that_hangs_is_given_up_by_who_reads(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "READ_TIMEOUT_S", 1)
    monkeypatch.setattr(store, "GRACE_S", 0)
    backend = int(str(ask(database, "SELECT pg_backend_pid()")))
    with stopped(backend), pytest.raises(Unavailable, match="the server has hung: nothing came for"):
        ask(database, "SELECT 1")
    assert ask(database, "SELECT 1") == 1


def test_a_controller_whose_store_hangs_says_so_until_it_goes_on(
    own_postgres: PostgresServer, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    places = Places(tmp_path, tmp_path / ".penstock", url, str(tmp_path / "artifacts"))
    project = Project(places, ProjectSettings(project="hung"), "controller")
    loop = ControllerLoop(project, 0.05)
    loop.start()
    try:
        wait_until(lambda: loop.health.ticked_ms is not None)
        postmaster = postmaster_of(database)
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        with stopped(postmaster, *map(int, children)):
            wait_until(lambda: loop.health.problem == "the store is away")
        assert "the controller's tick failed: the store " in caplog.text
        wait_until(lambda: loop.health.problem is None)
    finally:
        loop.stop()
        project.close()
