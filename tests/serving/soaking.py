"""An endpoint with workers under load, whose versions change and whose processes are killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.flows.models.judging import run_gate
from penstock.flows.models.registering import register_model
from penstock.flows.pipelines.execution import reproduce_and_record
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.serving.workers import list_alive
from penstock.workspace import open_workspace
from projects import Sample
from servers.forking import start_penstock
from stories.live import is_running, wait_until


def two_versions(folder: Path) -> Path:
    """Return the root of a project whose endpoint serves version 1 and whose version 2 may be deployed."""
    sample = Sample.make(folder / "project", "released")
    apply_deployment(sample.project, plan_deployment(sample.project, "delay", "late@champion"))
    add_version(sample)
    return sample.root


def add_version(sample: Sample) -> None:
    """Train and register version 2, which the gate passes."""
    params = (sample.root / "params.yaml").read_text()
    assert "strength: 1.0" in params
    sample.write("params.yaml", params.replace("strength: 1.0", "strength: 0.5"))
    reproduce_and_record(sample.project)
    sample.commit("Regularise more")
    assert run_gate(sample.project).passed
    register_model(sample.project)
    sample.close()


class Story:
    """`penstock serve --workers N` and a server with the controller."""

    def __init__(self, root: Path, workers: int) -> None:
        self.root, self.workers, self.killed = root, workers, 0
        self._log = root / "serve.log"
        with self._log.open("wb") as log:
            self._processes = [
                start_penstock(["-C", str(root), *words], root, log.fileno())
                for words in (
                    ("serve", "--port", "0", "--workers", str(workers)),
                    ("server", "--port", "0"),
                )
            ]
        wait_until(lambda: re.search(r"serves? on (\S+);", self._log.read_text()) is not None)
        found = re.search(r"serves? on (\S+);", self._log.read_text())
        assert found is not None
        self.url = found[1]
        wait_until(lambda: len(self.alive()) == workers)

    def alive(self) -> list[int]:
        """Return the process ids of the workers that serve the current revision and still run."""
        project = open_workspace(self.root)
        with project.database.read() as connection:
            workers = list_alive(connection, now_ms())
        project.close()
        return [one.pid for one in workers if one.revisions and is_running(one.pid)]

    def deploy(self, number: int, changed_s: list[float] | None = None) -> None:
        """Make one change: in turn a canary, its rollback, version 2, version 1; note when it was written."""
        project = open_workspace(self.root)
        try:
            if number % 4 == 1:
                plan = plan_rollback(project, "delay", reason="soak")
            else:
                version = "late/1" if number % 4 == 3 else "late/2"
                canary = 30.0 if number % 4 == 0 else None
                plan = plan_deployment(
                    project, "delay", version, canary=canary, reason="soak", force=True, is_fixed=bool(canary)
                )
            apply_deployment(project, plan)
            if changed_s is not None:
                changed_s.append(time.monotonic())
        finally:
            project.close()

    def kill_worker(self) -> None:
        """Kill one worker as the kernel would, when one serves."""
        wait_until(lambda: bool(self.alive()))
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.alive()[0], signal.SIGKILL)
            self.killed += 1

    def kill_controller(self) -> None:
        """Kill the controller as the kernel would."""
        self._processes[1].kill()

    def stop(self) -> None:
        """End everything that runs."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
            process.wait(PATIENCE_S)
