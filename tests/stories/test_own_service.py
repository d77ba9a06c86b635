"""A service of one's own in production: Prometheus scrapes it, labels find the wrong version out, it goes back by itself."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from flows.production.endpoints import World
from patience import PATIENCE_S
from servers.forking import run_penstock
from servers.ports import reserve
from servers.programs import missing
from servers.tracking import Tracking, run_tracking
from stories.live import get, wait_until
from watching.seen import count

pytestmark = pytest.mark.slow
SERVICE = Path(__file__).parent / "own_service.py"
PROMETHEUS = Path("/usr/bin/prometheus")
POLICY = """\
model: m@champion
monitor: {window_s: 1, windows: 60, flush_s: 0.2}
guardrails:
  - quality: {metric: roc_auc, max_drop: 0.1, min_labels: 100}
on_breach: [rollback, alert]
"""


class Service:
    """The running loop, and what it printed."""

    def __init__(self, root: Path, server: str, port: int) -> None:
        self.port = port
        self.labels: list[dict[str, Any]] = []
        self.changes: list[tuple[int, str]] = []
        self.process = subprocess.Popen(
            [sys.executable, str(SERVICE), str(port)], cwd=root, stdout=subprocess.PIPE, text=True,
            env={"PENSTOCK_URI": server, "HOME": str(root), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                told = json.loads(line)
                if "version" in told:
                    self.changes.append((told["version"], told["kind"]))
                else:
                    self.labels.append({"prediction_id": told["id"], "label": told["label"]})

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self._reader.join()


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[int]:
    """Run the real Prometheus, which scrapes a service twice a second; yield its port."""
    if not PROMETHEUS.exists():
        missing("Prometheus", "prometheus")
    port = reserve()
    settings = {
        "global": {"scrape_interval": "500ms"},
        "scrape_configs": [{"job_name": "service", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    command = [
        str(PROMETHEUS),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def ask(port: int, expression: str) -> list[tuple[dict[str, str], float]]:
    """Return what Prometheus answers to an expression now."""
    try:
        status, answer = get(port, "/api/v1/query?" + urlencode({"query": expression}))
    except OSError:
        return []
    if status != 200 or not isinstance(answer, dict):
        return []
    return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tracking, World]]:
    """A server whose store has two versions of a model, said to be equally good; `delay` is at the first."""
    worlds: list[World] = []

    def fill(root: Path) -> None:
        world = World(root)
        for number in (1, 2):
            world.version(number, roc_auc=0.9)
        world.policy(POLICY)
        world.deploy(1)
        worlds.append(world)

    with run_tracking(tmp_path_factory.mktemp("own-service"), before=fill) as server:
        yield server, worlds[0]
    worlds[0].project.close()


def test_a_wrong_version_is_found_by_labels_and_the_loop_goes_back(
    production: tuple[Tracking, World], tmp_path: Path
) -> None:
    server, world = production
    service = Service(tmp_path, server.url, reserve())
    sent = 0

    def feed() -> bool:
        """Send the truth that is known by now, as whoever learns it does."""
        nonlocal sent
        lines = service.labels[sent:-400] if len(service.labels) > sent + 400 else []
        if not lines:
            return False
        (tmp_path / "labels.json").write_text(json.dumps(lines))
        done = run_penstock(
            tmp_path, "--json", "feedback", "delay", "--file", str(tmp_path / "labels.json"),
            PENSTOCK_URI=server.url,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["accepted"] == len(lines)
        sent += len(lines)
        return True

    try:
        with prometheus(tmp_path, service.port) as port:
            wait_until(feed)
            world.deploy(2)
            wait_until(lambda: (2, "deployed") in service.changes)
            wait_until(lambda: feed() and (1, "rolled_back") in service.changes)
            revision = 'penstock_revision{endpoint="delay"}'
            wait_until(lambda: [value for _, value in ask(port, revision)] == [3.0])
            versions = {one["version"] for one, _ in ask(port, "penstock_predictions_total > 0")}
            own, ours = ask(port, "infer_seconds_count"), ask(port, "sum(penstock_requests_total)")
    finally:
        service.stop()
    assert service.changes == [(2, "deployed"), (1, "rolled_back")]
    assert versions == {"1", "2"}
    assert own[0][1] > 100
    assert ours[0][1] > 100
    (rollback,) = world.events("endpoint.rolled_back")
    assert rollback.cause["findings"][0]["kind"] == "quality"
    wait_until(lambda: count(world) >= len(service.labels) - 400)
    assert server.get("/api/penstock/v1/endpoints")[1][0]["revision"] == 3
