"""Two hosts in one endpoint: two directories that share a PostgreSQL store and an artifact store, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.awaiting import WORKER_ALIVE_MS
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.flows.store.copying import copy_store
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.windows import windows
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.project.project import Project
from penstock.serving.workers import list_workers
from penstock.workspace import open_workspace
from servers.forking import run_penstock
from servers.postgres import PostgresServer
from serving.clients import BODY
from stories.live import wait_until

pytestmark = pytest.mark.slow


class Host:
    """A checkout with its own copies of models, and a serve process."""

    def __init__(self, root: Path, store: str, artifacts: Path) -> None:
        shutil.rmtree(root / ".penstock", ignore_errors=True)
        variables = {"USER": root.name, "PENSTOCK_STORE": store, "PENSTOCK_ARTIFACTS": str(artifacts)}
        self.project: Project = open_workspace(root, variables)
        options = ServeOptions(port=0, poll_s=0.05, flush_s=0.1)
        source = RegistrySource(self.project)
        self.process = ServeProcess(self.project.database, source, build_inference_app, options)
        self.process.start()

    def version(self) -> str:
        """Ask once; return which version answered."""
        answer = httpx.post(f"{self.process.url}/v2/models/delay/infer", json=BODY, timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        return answer.headers["penstock-model-version"]

    def stop(self) -> None:
        """End it."""
        self.process.stop()
        self.project.close()


@pytest.fixture
def hosts(two_versions_root: Path, tmp_path: Path, postgres: PostgresServer) -> Iterator[tuple[Host, Host]]:
    store = postgres.new_schema()
    copy_store(f"sqlite:///{two_versions_root}/.penstock/penstock.db", store)
    artifacts = tmp_path / "artifacts"
    shutil.copytree(two_versions_root / ".penstock" / "artifacts", artifacts)
    key = run_penstock(two_versions_root, "key", "show").stdout.splitlines()[0]
    with ExitStack() as stack:
        made = []
        for name in ("first", "second"):
            shutil.copytree(two_versions_root, tmp_path / name, symlinks=True)
            with (tmp_path / name / "penstock.yaml").open("a") as settings:
                settings.write(f"trusted_keys: ['{key}']\n")
            made.append(Host(tmp_path / name, store, artifacts))
            stack.callback(made[-1].stop)
        yield made[0], made[1]


def test_both_follow_what_either_decides_and_their_windows_add_up(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    assert [one.version() for one in hosts] == ["1", "1"]
    apply_deployment(first.project, plan_deployment(first.project, "delay", "late/2", reason="try"))
    wait_until(lambda: [one.version() for one in hosts] == ["2", "2"])
    plan = plan_rollback(second.project, "delay", reason="worse")
    apply_deployment(second.project, plan)
    wait_until(lambda: [one.version() for one in hosts] == ["1", "1"])

    def ready() -> set[str]:
        with first.project.database.read() as connection:
            workers = list_workers(connection, now_ms() - WORKER_ALIVE_MS)
        return {one.url for one in workers if (state := one.state_of("delay", 3)) and state.state == "ready"}

    wait_until(lambda: ready() == {one.process.url for one in hosts})

    def recorded_by() -> set[int]:
        with second.project.database.read() as connection:
            return {row.worker for row in connection.execute(windows.select())}

    wait_until(lambda: recorded_by() == {one.process.worker for one in hosts})
    copies = [{path.name for path in (one.project.home / "models").iterdir()} for one in hosts]
    assert copies[0] == copies[1] and len(copies[0]) == 2
