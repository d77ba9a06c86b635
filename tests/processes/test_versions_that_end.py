"""Versions that end the processes which answered with them before: they go, and take nothing else down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import penstock
from penstock.base.clock import now_ms
from penstock.base.settings import parse_settings
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.registering import register_model
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.shadowing import plan_shadows
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.settings import AlertSettings, EndpointSettings
from penstock.project.project import Project
from penstock.serving.deployments import Revision, get_revision
from penstock.serving.workers import list_alive
from penstock.workspace import open_workspace
from processes.asking import ask
from servers.forking import run_penstock, start_penstock
from serving.fatal import Fatal, Late, Slow
from stories.live import is_running, wait_until

pytestmark = pytest.mark.slow
POLICY = """\
model: fatal@champion
monitor: {window_s: 1, windows: 60}
guardrails:
  - latency: {p99_ms: 100000}
on_breach: [rollback, alert]
"""
NAMES = ("main", "beside")


class Production:
    """A project with `penstock serve --workers 2` and a controller; `main` and `beside` serve version 1.

    Version 2 ends its process with each prediction, and 3 is killed by one, from when there is a file.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir()
        init_repository(root, no_scm=True, subdir=False, force=False)
        self.root, self.log = root, root / "serve.log"
        self.project: Project = open_workspace(root, {"USER": "ada"})
        self.ends, self.kills = root / "predict", root / "kill"
        for number, told_by in (("1", ""), ("2", str(self.ends)), ("3", str(self.kills))):
            penstock.save_model(Fatal(told_by), root / number, inputs=[[1.0, 2.0], [3.0, 4.0]])
            register_model(self.project, "fatal", number)
        settings = parse_settings(POLICY, EndpointSettings, "policy")
        for name in NAMES:
            apply_deployment(self.project, plan_deployment(self.project, name, "fatal/1"))
            with self.project.database.write() as connection:
                body = PolicyBody(endpoint=settings, alerts=AlertSettings())
                put_policy(connection, name, body, "person:ada")
        with self.log.open("wb") as file:
            words = ["-C", str(root), "serve", "--port", "0", "--workers", "2"]
            self.process = start_penstock(words, root, file.fileno())
        wait_until(lambda: re.search(r"serve on (\S+);", self.log.read_text()) is not None)
        self.url = re.findall(r"serve on (\S+);", self.log.read_text())[0]
        self.controller = Controller(self.project, remembers=False)
        wait_until(lambda: self.states("main") == ["ready", "ready"])

    def deploy(self, version: int, canary: float | None = None, shadow: bool = False) -> Revision:
        """Serve another version on `main`, wherever it is to be, and wait until it is."""
        if shadow:
            apply_deployment(
                self.project, plan_shadows(self.project, "main", [f"fatal/{version}"], reason="")
            )
        else:
            plan = plan_deployment(
                self.project, "main", f"fatal/{version}", canary=canary, is_fixed=canary is not None
            )
            apply_deployment(self.project, plan)
        wait_until(lambda: self.states("main") == ["ready", "ready"])
        return self.current()

    def current(self) -> Revision:
        """Return the revision of `main`."""
        with self.project.database.read() as connection:
            return get_revision(connection, "main")

    def said(self, endpoint: str) -> list[tuple[str, str]]:
        """Return what living workers say of an endpoint's revision, and why."""
        with self.project.database.read() as connection:
            number = get_revision(connection, endpoint).number
            workers = list_alive(connection, now_ms())
        found = [one.state_of(endpoint, number) for one in workers if is_running(one.pid)]
        return [(one.state, one.message) if one else ("", "") for one in found]

    def states(self, endpoint: str) -> list[str]:
        """Return those states alone."""
        return [state for state, _ in self.said(endpoint)]

    def answers(self, count: int = 8) -> set[int]:
        """Ask both endpoints and return the statuses, 0 where the process ended instead."""
        return {ask(self.url, name) for _ in range(count) for name in NAMES}

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)
        self.project.close()


@pytest.fixture
def production(tmp_path: Path) -> Iterator[Production]:
    made = Production(tmp_path / "project")
    yield made
    made.close()


def test_a_canary_that_ends_processes_is_taken_out_and_the_others_answer_meanwhile(
    production: Production,
) -> None:
    number = production.deploy(2, canary=50).number
    assert production.answers() == {200}
    production.ends.touch()
    seen: set[int] = set()

    def is_taken_out() -> bool:
        seen.update(production.answers())
        production.controller.tick()
        return production.current().number != number

    wait_until(is_taken_out)
    now = production.current()
    assert (now.stable, now.canary, now.kind) == (1, None, "rolled_back")
    assert "canary version 2 ends its processes" in now.reason and "load guardrail" in now.reason
    assert seen <= {0, 200}, "what is fine is never not loaded"
    wait_until(lambda: production.states("main") == ["ready", "ready"])
    assert production.answers() == {200}


def test_a_new_stable_version_that_ends_processes_goes_and_the_one_before_it_comes_back(
    production: Production,
) -> None:
    production.deploy(2)
    assert production.answers() == {200}
    production.ends.touch()

    def is_taken_back() -> bool:
        production.answers()
        production.controller.tick()
        return production.current().stable == 1

    wait_until(is_taken_back)
    assert production.current().kind == "rolled_back"
    wait_until(lambda: production.answers(2) == {200})


def test_a_shadow_that_ends_processes_is_left_out_and_told_of(production: Production) -> None:
    number = production.deploy(2, shadow=True).number
    production.ends.touch()
    wait_until(lambda: production.answers(1) and production.states("main") == ["hindered", "hindered"])
    assert production.answers() == {200}
    production.controller.tick()
    assert production.current().number == number
    assert (
        "while version 2 was loaded or predicted"
        in run_penstock(production.root, "endpoint", "show", "main").stdout
    )
    production.ends.unlink()
    wait_until(lambda: production.states("main") == ["ready", "ready"])


def test_what_is_killed_is_left_out_and_not_taken_back_where_it_was_loaded_before(
    production: Production,
) -> None:
    number = production.deploy(3, canary=50).number
    production.kills.touch()
    wait_until(lambda: production.answers(1) and production.states("main") == ["hindered", "hindered"])
    assert production.answers() == {200}
    production.controller.tick()
    assert production.current().number == number


def test_what_was_loaded_beside_a_version_that_ends_processes_is_tried_alone_and_served(
    production: Production,
) -> None:
    project, ends, hangs = production.project, production.root / "late", production.root / "hangs"
    plans = []
    for endpoint, number, model in (("main", 4, Late(str(ends))), ("beside", 5, Slow(str(hangs)))):
        penstock.save_model(model, production.root / str(number), inputs=[[1.0, 2.0], [3.0, 4.0]])
        register_model(project, "fatal", str(number))
        plans.append(plan_deployment(project, endpoint, f"fatal/{number}", canary=50, is_fixed=True))
    ends.touch()
    hangs.touch()
    numbers = {}
    for endpoint, plan in zip(NAMES, plans, strict=True):
        numbers[endpoint] = apply_deployment(project, plan).number
        wait_until(lambda name=endpoint: production.states(name) == ["waiting", "waiting"])
    Path(f"{ends}.go").touch()
    wait_until(lambda: production.log.read_text().count("ended with exit code 3") == 2)
    hangs.unlink()
    seen: set[str] = set()

    def is_taken_out() -> bool:
        seen.update(production.states("beside"))
        production.controller.tick()
        return production.current().number != numbers["main"]

    wait_until(is_taken_out)
    wait_until(lambda: production.states("beside") == ["ready", "ready"])
    assert "failed" not in seen
    assert not re.search(r"beside#2 .*left out", production.log.read_text()), "it was tried"
    production.controller.tick()
    with project.database.read() as connection:
        assert get_revision(connection, "beside").number == numbers["beside"]
