"""`Retraining`: when its command starts, what becomes of what it made, and that it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.production.endpoints import World
from penstock import __version__
from penstock.base.clock import now_ms
from penstock.base.git import Git
from penstock.flows.production.controlling.retraining import Retraining
from penstock.flows.production.watching import Observation, observe
from penstock.monitoring.findings import Finding
from penstock.registry.entities import Manifest, ModelVersion, Provenance, Verdict
from penstock.registry.verdicts import add_verdict
from penstock.registry.versions import add_version
from stories.live import is_running, wait_until

POLICY = """\
model: m@champion
monitor: {{window_s: 1, windows: 10}}
guardrails:
  - errors: {{max_ratio: 0.02, action: alert}}
retrain: {{on: [quality], rev: main, command: {command!r}}}
"""


class Bench:
    """An endpoint whose model was trained at a commit, live traffic that asks for another one, and a retraining."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.git = Git(root)
        self.git.run("init", "--quiet", "--initial-branch", "main")
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
            self.git.run("config", key, value)
        self.commit("data/raw.csv.dvc", "outs: []\n")
        self.add_version(1)
        self.world.deploy(1)
        self.world.traffic("stable", 200, 60)
        self.retraining = Retraining(self.world.project)

    def commit(self, name: str, text: str) -> str:
        """Commit one file and return the commit."""
        path = self.world.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        self.git.run("add", name)
        self.git.run("commit", "--quiet", "--message", name)
        return self.git.resolve("HEAD")

    def add_version(self, number: int, *, passed: bool | None = None) -> None:
        """Register a version that was trained at the last commit, and its verdict."""
        made = ModelVersion(
            model="m", number=0, digest=f"{number:064x}", created_ms=0, actor="ci", path="m",
            manifest=Manifest(()), provenance=Provenance(commit=self.git.resolve("HEAD")),
            metrics={}, profile_digest=None,
        )  # fmt: skip
        with self.world.project.database.write() as connection:
            version = add_version(connection, made, reuse=True)
            if passed is not None:
                verdict = Verdict(
                    id=f"v{number}", model="m", model_digest=version.digest, settings_digest="s", data={},
                    passed=passed, checks=(), created_ms=now_ms(), actor="ci",
                )  # fmt: skip
                add_verdict(connection, verdict)

    def consider(self, command: str = "true", retraining: Retraining | None = None) -> None:
        """Let the retraining look at the endpoint as it is now."""
        seen, findings = self.look(command)
        (retraining or self.retraining).consider(seen, findings)

    def look(self, command: str) -> tuple[Observation, tuple[Finding, ...]]:
        """Return what the controller sees under a policy with this command."""
        self.world.policy(POLICY.format(command=command))
        seen = observe(self.world.project, "delay")
        assert [one.kind for one in seen.breaches] == ["errors"], seen.findings
        return seen, seen.breaches

    def finish(self) -> str | None:
        """Wait until the command has ended and something was told of it; return what it made."""
        found: list[str | None] = []
        count = len(self.world.events())

        def has_ended() -> bool:
            found.append(self.retraining.poll("delay"))
            return len(self.world.events()) > count

        wait_until(has_ended)
        return found[-1]

    def told(self) -> list[str]:
        """Return the events of retrainings by kind."""
        return [one.kind for one in self.world.events() if one.kind.startswith("retrain.")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "world")
    yield made
    made.retraining.stop()
    made.world.project.close()


def test_without_newer_data_it_waits_and_says_so_once_whoever_looks(bench: Bench) -> None:
    bench.consider()
    bench.consider()
    bench.consider(retraining=Retraining(bench.world.project))  # of another process
    assert bench.told() == ["retrain.waiting"]
    bench.commit("train.py", "# code is no data\n")
    bench.consider()
    assert bench.told() == ["retrain.waiting", "retrain.waiting"]
    assert not (bench.world.root / ".penstock" / "retrain").exists()


def test_newer_data_start_it_and_its_version_that_passed_is_handed_on(bench: Bench) -> None:
    head = bench.commit("data/raw.csv.dvc", "outs: [{path: raw.csv}]\n")
    bench.consider("pwd; until [ -e go ]; do sleep 0.02; done")
    (started,) = bench.world.events("retrain.started")
    assert started.cause["commit"] == head
    assert "data/raw.csv.dvc changed" in started.summary
    assert bench.retraining.poll("delay") is None
    assert bench.retraining.poll("another") is None
    bench.consider("touch second")  # one at a time
    bench.add_version(2, passed=False)
    bench.add_version(3, passed=True)
    (bench.world.root / "go").touch()
    assert bench.finish() == "m/3"
    assert bench.told() == ["retrain.started", "retrain.finished"]
    (log,) = (bench.world.root / ".penstock" / "retrain").iterdir()
    assert log.read_text().strip() == str(bench.world.root)
    bench.consider("touch second")  # this commit was tried
    assert bench.retraining.poll("delay") is None
    assert not (bench.world.root / "second").exists()


def test_it_finds_penstock_where_nobody_activated_its_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    bench.commit("data/raw.csv.dvc", "outs: [{path: raw.csv}]\n")
    bench.consider("penstock --version >&2; exit 7")
    bench.finish()
    (failed,) = bench.world.events("retrain.failed")
    assert failed.summary == f"the retraining ended with 7: {__version__}"


def test_a_command_that_fails_or_makes_nothing_is_told_with_its_last_words(bench: Bench) -> None:
    bench.commit("data/raw.csv.dvc", "outs: [{path: one}]\n")
    bench.consider("echo first; echo the disk is full >&2; exit 3")
    assert bench.finish() is None
    (failed,) = bench.world.events("retrain.failed")
    assert failed.summary == "the retraining ended with 3: the disk is full"
    assert failed.cause["tail"] == ["first", "the disk is full"]
    bench.commit("data/raw.csv.dvc", "outs: [{path: two}]\n")
    bench.consider("true")
    assert bench.finish() is None
    assert bench.told()[-2:] == ["retrain.started", "retrain.nothing"]


def test_stop_ends_the_command_with_all_that_it_started(bench: Bench) -> None:
    bench.commit("data/raw.csv.dvc", "outs: [{path: one}]\n")
    bench.consider("sleep 600 & echo $! > pid; wait")
    pid = bench.world.root / "pid"
    wait_until(lambda: pid.exists() and pid.read_text().strip() != "")
    bench.retraining.stop()
    wait_until(lambda: not is_running(int(pid.read_text())))
    assert bench.retraining.poll("delay") is None
