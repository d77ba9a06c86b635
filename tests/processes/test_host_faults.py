"""What keeps versions from being loaded: a fault of the host takes no version back, one of the version does."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import penstock
from penstock.base.clock import now_ms
from penstock.base.settings import parse_settings
from penstock.base.store.events import list_events
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.folders import RegistrySource
from penstock.flows.models.registering import register_model
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.alerts import list_open_alerts
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.settings import AlertSettings, EndpointSettings
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.project.project import Project
from penstock.serving.deployments import Revision, get_revision
from penstock.serving.workers import WorkerRevision, list_alive
from penstock.workspace import open_workspace
from processes.asking import ask
from servers.forking import run_penstock, start_penstock
from serving.fatal import LARGE, Fatal
from stories.live import is_running, wait_until

pytestmark = pytest.mark.slow
POLICY = """\
model: {model}@champion
monitor: {{window_s: 1, windows: 60}}
guardrails:
  - errors: {{max_ratio: 0.02}}
on_breach: [rollback, alert]
"""
FILES = {1: "", 2: "files", 3: "wrong", 4: "none", 5: "wrong-anew"}


def watch(project: Project, endpoint: str, model: str) -> None:
    settings = parse_settings(POLICY.format(model=model), EndpointSettings, "policy")
    with project.database.write() as connection:
        body = PolicyBody(endpoint=settings, alerts=AlertSettings())
        put_policy(connection, endpoint, body, "person:ada")


def said_of(project: Project, endpoint: str) -> list[tuple[int, WorkerRevision | None]]:
    """Return the living workers' process ids with what each says of an endpoint's revision."""
    with project.database.read() as connection:
        number = get_revision(connection, endpoint).number
        workers = list_alive(connection, now_ms())
    return [(one.pid, one.state_of(endpoint, number)) for one in workers if is_running(one.pid)]


def alerts_of(project: Project, endpoint: str) -> list[dict[str, str]]:
    with project.database.read() as connection:
        return [one.labels for one in list_open_alerts(connection, endpoint)]


def current(project: Project, endpoint: str) -> Revision:
    with project.database.read() as connection:
        return get_revision(connection, endpoint)


@dataclass
class Production:
    """A project with `penstock serve --workers 2`: `files` and `wrong` serve versions 2 and 3 after 1, `main` 1."""

    project: Project
    controller: Controller
    url: str
    log: Path

    def file(self, name: str) -> Path:
        """Return the file of which a version's loading depends."""
        return self.project.root / name

    def is_all(self, endpoint: str, state: str) -> bool:
        """Whether both workers say so."""
        said = said_of(self.project, endpoint)
        return len(said) == 2 and all(one is not None and one.state == state for _, one in said)

    def wait_for(self, state: str, *endpoints: str) -> None:
        """Wait until both workers say so of each endpoint."""
        wait_until(lambda: all(self.is_all(one, state) for one in endpoints))

    def kill_workers(self) -> None:
        """End both workers at once; two others begin."""
        pids = [pid for pid, _ in said_of(self.project, "main")]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, pids)))


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    root = tmp_path_factory.mktemp("hosts") / "project"
    root.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    project, log = open_workspace(root, {"USER": "ada"}), root / "serve.log"
    for number, name in FILES.items():
        model = Fatal(str(root / name) if name else "")
        penstock.save_model(model, root / f"m{number}", inputs=[[1.0, 2.0], [3.0, 4.0]])
        register_model(project, "fatal", f"m{number}")
    for endpoint, versions in {"main": (1,), "files": (1, 2), "wrong": (1, 3)}.items():
        for version in versions:
            apply_deployment(project, plan_deployment(project, endpoint, f"fatal/{version}"))
        watch(project, endpoint, "fatal")
    with log.open("wb") as file:
        words = ["-C", str(root), "serve", "--port", "0", "--workers", "2"]
        process = start_penstock(words, root, file.fileno())
    wait_until(lambda: re.search(r"serve on (\S+);", log.read_text()) is not None)
    url = re.findall(r"serve on (\S+);", log.read_text())[0]
    made = Production(project, Controller(project, remembers=False), url, log)
    made.wait_for("ready", "main", "files", "wrong")
    yield made
    process.terminate()
    process.wait(60)
    project.close()


def test_what_was_loaded_before_is_told_of_and_tried_again_and_never_taken_back(
    production: Production,
) -> None:
    project, endpoints = production.project, ("files", "wrong")
    for name in endpoints:
        production.file(name).touch()
    production.kill_workers()
    production.wait_for("hindered", *endpoints)
    production.wait_for("ready", "main")

    def are_told() -> (
        bool
    ):  # those that were killed count as serving until they have not been heard of for a while
        production.controller.tick()
        return all([one["kind"] for one in alerts_of(project, name)] == ["load"] for name in endpoints)

    wait_until(are_told)
    production.controller.tick()
    assert [current(project, one).number for one in endpoints] == [2, 2]
    with project.database.read() as connection:
        told = [one.summary for one in list_events(connection, kind="guardrail.breached")]
    assert any("Too many open files; it is tried again" in one for one in told), told
    shown = run_penstock(project.root, "endpoint", "show", "files").stdout
    assert "hindered" in shown and "Too many open files" in shown
    for name in endpoints:
        production.file(name).unlink()
    production.wait_for("ready", *endpoints)
    production.controller.tick()
    assert [alerts_of(project, name) for name in endpoints] == [[], []]


def test_what_was_never_loaded_and_fails_in_a_fresh_process_too_is_taken_back(production: Production) -> None:
    plan = plan_deployment(production.project, "main", "fatal/5", canary=50, is_fixed=True)
    production.file("wrong-anew").touch()
    apply_deployment(production.project, plan)
    production.wait_for("failed", "main")
    production.controller.tick()
    now = current(production.project, "main")
    assert (now.stable, now.canary, now.kind) == (1, None, "rolled_back")
    assert "what was learned cannot be read" in now.reason


def test_a_canary_that_ends_processes_goes_and_what_is_beside_it_stays(production: Production) -> None:
    project = production.project
    others = {name: current(project, name).number for name in ("files", "wrong")}
    plan = plan_deployment(project, "main", "fatal/4", canary=50, is_fixed=True)
    number = apply_deployment(project, plan).number
    production.wait_for("ready", "main")

    def is_taken_out() -> bool:
        for _ in range(4):
            ask(production.url, "main", 10 * LARGE)
        production.controller.tick()
        return current(project, "main").number != number

    wait_until(is_taken_out)
    now = current(project, "main")
    assert (now.stable, now.canary, now.kind) == (1, None, "rolled_back")
    assert "errors guardrail" in now.reason or "ends its processes" in now.reason
    production.wait_for("ready", "main", "files", "wrong")
    production.controller.tick()
    assert {name: current(project, name).number for name in others} == others
    assert current(project, "main").number == now.number


def test_a_clone_that_does_not_trust_the_key_takes_nothing_back(
    two_versions_root: Path, tmp_path: Path
) -> None:
    home, clone = tmp_path / "home", tmp_path / "clone"
    for root in (home, clone):
        shutil.copytree(two_versions_root, root, symlinks=True)
    shutil.rmtree(clone / ".penstock")
    project = open_workspace(home, {"USER": "ada"})
    apply_deployment(project, plan_deployment(project, "delay", "late/2", reason="try"))
    watch(project, "delay", "late")
    number = current(project, "delay").number
    store, artifacts = f"sqlite:///{home}/.penstock/penstock.db", str(home / ".penstock" / "artifacts")
    stranger = open_workspace(
        clone, {"USER": "eve", "PENSTOCK_STORE": store, "PENSTOCK_ARTIFACTS": artifacts}
    )
    options = ServeOptions(port=0, poll_s=0.05)
    process = ServeProcess(stranger.database, RegistrySource(stranger), build_inference_app, options)
    process.start()
    try:
        ((_, said),) = said_of(project, "delay")
        assert said is not None and said.state == "hindered" and "not trusted here" in said.message, said
        Controller(project, remembers=False).tick()
        assert (current(project, "delay").number, current(project, "delay").stable) == (number, 2)
        assert [one["kind"] for one in alerts_of(project, "delay")] == ["load"]
    finally:
        process.stop()
        stranger.close()
        project.close()
