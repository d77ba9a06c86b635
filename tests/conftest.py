"""Servers and projects that several tests share."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
from anyio.from_thread import start_blocking_portal
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from httpx._transports import default as httpx_transports
from starlette.testclient import TestClient

import cores  # noqa: F401 - before what it concerns
from installed import INDEX, install_from
from patience import PATIENCE_S
from penstock.base.store.database import Database, connect
from penstock.base.store.migrate import upgrade
from projects import Sample
from quick_passwords import use_quick_passwords
from scheduling import is_left_out, mark_slow, record_durations, sort_items
from servers.azure import AzureServer
from servers.postgres import PostgresServer
from servers.quick_python import use_quick_trials
from servers.s3 import S3Server
from servers.ssh import SshServer
from servers.tracking import Tracking
from sharing import begin, end, shared_server

# How long an example takes to be made or to be tried is no finding where others keep the machine busy.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")
for step in (
    "connect",
    "read",
    "write",
    "pool",
):  # five seconds by default, which an answer takes on a busy machine
    setattr(DEFAULT_TIMEOUT_CONFIG, step, PATIENCE_S)
# Each call outside of a client would read all certificates anew: 20 ms of the processor, and nothing here has one.
httpx_transports.create_ssl_context = functools.cache(httpx_transports.create_ssl_context)  # type: ignore[attr-defined]
# Outside of `with`, a client of an application would begin a thread and a loop of events for each request, and end both.
loops = contextlib.ExitStack()
one_loop = functools.cache(lambda: loops.enter_context(start_blocking_portal()))
TestClient._portal_factory = lambda self: contextlib.nullcontext(self.portal or one_loop())  # type: ignore[method-assign]

gc.disable()  # until all is collected: imports leave little to find
use_quick_passwords()
use_quick_trials()
APART_S = 2.0

pytest.register_assert_rewrite("compat.dvc.sides", "tables")


def pytest_configure(config: pytest.Config) -> None:
    """Begin what the processes of this run share, in the process that controls it."""
    # Where an environment forbids it, as containers often do, every process would compile all files anew.
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""
    sys.dont_write_bytecode = False
    if not hasattr(config, "workerinput"):
        begin()
        record_durations(config)
    else:  # what the first has compiled, the others read: at once, all would compile the same files
        time.sleep(APART_S * int(config.workerinput["workerid"].removeprefix("gw")))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what a run of the fast tests would leave out anyway."""
    return is_left_out(collection_path, config) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of long files come first, and mark those that `make test-fast` leaves out."""
    mark_slow(items)
    sort_items(items)


def pytest_collection_finish() -> None:
    """Take what was imported and collected out of the work of the garbage collector, and let it begin less often."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it."""
    loops.close()
    if not hasattr(config, "workerinput"):
        end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skip a failure under `CI=true`: there, everything a test needs can be installed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI: {reason}"
    return report


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Penstock runs as a package index gave it."""
    install_from(monkeypatch, tmp_path_factory.mktemp("published"), INDEX)


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """A real PostgreSQL."""
    server: PostgresServer = shared_server("postgres")
    return server


@pytest.fixture(scope="session")
def azure_server() -> AzureServer:
    """A real emulator of Azure Blob Storage."""
    server: AzureServer = shared_server("azure")
    return server


@pytest.fixture(scope="session")
def ssh_server() -> SshServer:
    """A real OpenSSH server."""
    server: SshServer = shared_server("ssh")
    return server


@pytest.fixture(scope="session")
def s3_server() -> S3Server:
    """A real S3 server, Ceph's gateway; every test makes a bucket of its own."""
    server: S3Server = shared_server("s3")
    return server


@pytest.fixture(scope="session")
def mlflow_server() -> Tracking:
    """A real MLflow server; every test works in experiments and models of its own."""
    server: Tracking = shared_server("mlflow")
    return server


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
    made.close()


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Sample]:
    """The same, reproduced and committed."""
    made = Sample.make(tmp_path / "project", "trained")
    yield made
    made.close()


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Sample]:
    """The same with the model version `late/1`, which is champion."""
    made = Sample.make(tmp_path / "project", "released")
    yield made
    made.close()
