"""Models that end their process under `penstock serve --workers`: who is told, and that others are served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import penstock
from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.registering import register_model
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.monitoring.windows import list_windows
from penstock.project.project import Project
from penstock.serving.workers import list_alive
from penstock.workspace import open_workspace
from processes.asking import ask
from servers.forking import run_penstock, start_penstock
from serving.fatal import LARGE, Fatal
from stories.live import wait_until

pytestmark = pytest.mark.slow


@dataclass
class Serving:
    """A project whose endpoints `main` and `beside` serve version 1, and its serve process with one worker.

    Version 3 ends its process when it is loaded while there is the file `fatal`.
    """

    project: Project
    url: str
    log: Path
    fatal: Path

    def ask(self, endpoint: str, value: float = 1.0) -> int:
        """Ask once; return the status, 0 where the process ended instead."""
        return ask(self.url, endpoint, value)

    def errors_of(self, version: int) -> int:
        """Return how many requests to `main` a version is known to have failed."""
        with self.project.database.read() as connection:
            found = list_windows(connection, "main")
        return sum(one.error_count for one in found if one.key.version == version)

    def failure_of(self, endpoint: str, revision: int) -> str:
        """Return why the living worker does not serve a revision."""
        with self.project.database.read() as connection:
            found = list_alive(connection, now_ms())
        states = [one.state_of(endpoint, revision) for one in found]
        return next((one.message for one in states if one is not None and one.state == "fatal"), "")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("fatal") / "project"
    root.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    project, log, fatal = open_workspace(root, {"USER": "ada"}), root / "serve.log", root / "fatal"
    for number, told_by in (("1", ""), ("2", str(root / "none")), ("3", str(fatal))):
        penstock.save_model(Fatal(told_by), root / number, inputs=[[1.0, 2.0], [3.0, 4.0]])
        register_model(project, "fatal", number)
    for endpoint in ("main", "beside"):
        apply_deployment(project, plan_deployment(project, endpoint, "fatal/1"))
    with log.open("wb") as file:
        words = ["-C", str(root), "serve", "--port", "0", "--workers", "1"]
        process = start_penstock(words, root, file.fileno())
    wait_until(lambda: re.search(r"serves on (\S+);", log.read_text()) is not None)
    yield Serving(project, re.findall(r"serves on (\S+);", log.read_text())[0], log, fatal)
    process.terminate()
    process.wait(60)
    project.close()


def test_a_prediction_that_ends_its_process_is_an_error_of_its_version(serving: Serving) -> None:
    assert serving.ask("main", 10 * LARGE) == 200, "version 1 is harmless"
    plan = plan_deployment(serving.project, "main", "fatal/2", canary=50, is_fixed=True)
    apply_deployment(serving.project, plan)
    wait_until(lambda: serving.ask("main", 10 * LARGE) == 0)
    assert serving.ask("beside") == 200, "another process has begun"
    wait_until(lambda: serving.errors_of(2) == 1)
    assert serving.errors_of(1) == 0
    assert "a process ended while version 2 of main predicted 1 request" in serving.log.read_text()


def test_a_model_that_ends_its_process_while_it_is_loaded_keeps_no_other_from_being_served(
    serving: Serving,
) -> None:
    plan = plan_deployment(serving.project, "main", "fatal/3")
    serving.fatal.touch()
    revision = apply_deployment(serving.project, plan).number
    wait_until(lambda: serving.failure_of("main", revision) != "")
    assert "2 processes ended while version 3 was loaded or predicted" in serving.failure_of("main", revision)
    assert (serving.ask("beside"), serving.ask("main")) == (200, 503)
    assert httpx.get(f"{serving.url}/v2/health/ready", timeout=PATIENCE_S).status_code == 503
    serving.fatal.unlink()
    load = httpx.post(f"{serving.url}/v2/repository/models/main/load", timeout=PATIENCE_S)
    assert (load.status_code, serving.ask("main")) == (200, 200)
    assert "ended with exit code 3; another begins" in serving.log.read_text()


def test_what_ends_the_process_that_tries_it_is_refused_with_words(serving: Serving) -> None:
    serving.fatal.touch()
    for words in (["--model", "fatal/3"], ["--shadow", "fatal/3"]):
        done = run_penstock(serving.project.root, "deploy", "beside", *words)
        assert (
            "fatal/3 cannot be served: loading it, or its self-test, ends its process with exit code 3"
            in done.stderr
        )
        assert "serving.ends_process" in done.stderr or done.returncode == 1, done
    serving.fatal.unlink()
    assert run_penstock(serving.project.root, "deploy", "beside", "--model", "fatal/3").returncode == 0
