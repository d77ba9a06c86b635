"""Two hosts in one endpoint: two directories that share a PostgreSQL store and an artifact store, and nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.awaiting import wait_until_served
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.flows.store.copying import copy_store
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.windows import list_windows, windows
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.project.project import Project
from penstock.serving.predictions.ids import parse_prediction_id
from penstock.serving.predictions.stored import list_predictions
from penstock.serving.workers import list_alive
from penstock.workspace import open_workspace
from servers.forking import run_penstock, start_penstock
from servers.postgres import PostgresServer
from serving.clients import BODY
from stories.live import wait_until

pytestmark = pytest.mark.slow


APART_S = 300
SHIFTED = """
import socket, sys, time
name, ahead_ns = sys.argv.pop(1), int(sys.argv.pop(1)) * 10**9
socket.gethostname = lambda: name
own_ns = time.time_ns
time.time_ns = lambda: own_ns() + ahead_ns
from penstock.cli.main import main
main()
"""
"""`penstock` on a host of another name, whose clock is ahead."""


class Host:
    """A checkout with its own copies of models, and a serve process."""

    def __init__(self, root: Path, store: str, artifacts: Path) -> None:
        shutil.rmtree(root / ".penstock", ignore_errors=True)
        self.variables = {"USER": root.name, "PENSTOCK_STORE": store, "PENSTOCK_ARTIFACTS": str(artifacts)}
        self.project: Project = open_workspace(root, self.variables)
        options = ServeOptions(port=0, poll_s=0.05, flush_s=0.1)
        source = RegistrySource(self.project)
        self.process = ServeProcess(self.project.database, source, build_inference_app, options)
        self.process.start()

    def version(self) -> str:
        """Ask once; return which version answered."""
        answer = httpx.post(f"{self.process.url}/v2/models/delay/infer", json=BODY, timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        return answer.headers["penstock-model-version"]

    def show(self) -> str:
        """Return what `penstock endpoint show` says there."""
        return run_penstock(self.project.root, "endpoint", "show", "delay", **self.variables).stdout

    def stop(self) -> None:
        """End it."""
        self.process.stop()
        self.project.close()


class Shifted:
    """`penstock serve` in a copy of a host's checkout, on a host of a name whose clock is ahead by some seconds."""

    def __init__(self, host: Host, name: str, ahead_s: int) -> None:
        root = host.project.root.parent / name
        shutil.copytree(host.project.root, root, symlinks=True)
        self.log = root / "serve.log"
        words = [name, str(ahead_s), "-C", str(root), "serve", "--port", "0"]
        with self.log.open("wb") as log:
            self.process = start_penstock(words, root, log.fileno(), SHIFTED, **host.variables)
        wait_until(lambda: "serving on" in self.log.read_text() or self.process.poll() is not None)
        self.url = re.findall(r"serving on (\S+) as worker", self.log.read_text())[0]
        wait_until(lambda: httpx.get(f"{self.url}/v2/health/ready", timeout=PATIENCE_S).status_code == 200)

    def ask(self) -> httpx.Response:
        """Ask once."""
        answer = httpx.post(f"{self.url}/v2/models/delay/infer", json=BODY, timeout=PATIENCE_S)
        return answer.raise_for_status()


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
            workers = list_alive(connection, now_ms())
        return {one.url for one in workers if (state := one.state_of("delay", 3)) and state.state == "ready"}

    wait_until(lambda: ready() == {one.process.url for one in hosts})

    def recorded_by() -> set[int]:
        with second.project.database.read() as connection:
            return {row.worker for row in connection.execute(windows.select())}

    wait_until(lambda: recorded_by() == {one.process.worker for one in hosts})
    copies = [{path.name for path in (one.project.home / "models").iterdir()} for one in hosts]
    assert copies[0] == copies[1] and len(copies[0]) == 2


def stored(project: Project, ids: list[str]) -> int:
    """Return how many predictions are in the store."""
    with project.database.read() as connection:
        return len(list_predictions(connection, ids))


def test_a_host_whose_clock_is_minutes_off_takes_part_and_is_told_when_it_dies(
    hosts: tuple[Host, Host],
) -> None:
    first, second = hosts
    third = {
        name: Shifted(first, name, ahead_s) for name, ahead_s in (("behind", -APART_S), ("ahead", APART_S))
    }
    try:
        plan = plan_deployment(second.project, "delay", "late/2", canary=50.0, is_fixed=True)
        revision = apply_deployment(second.project, plan)
        assert wait_until_served(first.project, revision, PATIENCE_S) == 4
        for where, one in third.items():
            told = f"this host's clock is {APART_S} s {where}"
            assert told in one.log.read_text()
            pattern = re.compile(
                rf"server +{re.escape(one.url)} on {where}, process {one.process.pid}: ready.*{told}"
            )
            wait_until(lambda pattern=pattern: pattern.search(first.show()) is not None)  # type: ignore[misc]
            answers = [one.ask() for _ in range(10)]
            assert {answer.headers["penstock-model-version"] for answer in answers} == {"1", "2"}
            ids = [answer.json()["id"] for answer in answers]
            assert all(
                abs(parse_prediction_id(found).time_ms - now_ms()) < 1000 * APART_S / 2 for found in ids
            )
            wait_until(lambda ids=ids: stored(first.project, ids) == 10)  # type: ignore[misc]
            labels = [{"prediction_id": found, "label": 1} for found in ids]
            url = f"{second.process.url}/v2/models/delay/feedback"
            httpx.post(url, json=labels, timeout=PATIENCE_S).raise_for_status()

        def label_count() -> int:
            with first.project.database.read() as connection:
                return sum(one.quality.label_count for one in list_windows(connection, "delay"))

        wait_until(lambda: label_count() == 20)
        for where, one in third.items():
            one.process.kill()
            wait_until(lambda where=where: f"on {where}: lost, it ended without a word" in first.show())  # type: ignore[misc]
        assert {first.version() for _ in range(10)} == {"1", "2"}, "the share of the others is what it was"
        back = apply_deployment(first.project, plan_rollback(first.project, "delay", reason="enough"))
        assert wait_until_served(first.project, back, PATIENCE_S) == 2
    finally:
        for one in third.values():
            one.process.kill()
