"""A server for the real MLflow client, one for each test module, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servers.mlflow_server import run_mlflow
from servers.postgres import PostgresServer
from servers.tracking import Tracking, mlflow_python, run_tracking


@pytest.fixture
def own_mlflow(tmp_path: Path) -> Iterator[Callable[[], Tracking]]:
    """Start a real MLflow server of the test's own: asked again, another one would find what it kept."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(run_mlflow(tmp_path / "mlflow"))


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], ids=str
)
def tracking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    """A real `penstock server` process; tests of one module share it, so they choose names of their own."""
    mlflow_python()
    store = None
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        store = server.new_schema()
    with run_tracking(tmp_path_factory.mktemp("tracking"), store) as running:
        yield running
