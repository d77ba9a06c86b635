"""An endpoint whose traffic asks for a retraining, and the retraining, over a real store and a real repository."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from flows.production.endpoints import World, scored
from patience import wait_until
from penstock.base.clock import now_ms
from penstock.base.git import Git
from penstock.flows.production.controlling.retraining import Retraining
from penstock.flows.production.watching import Observation, observe
from penstock.monitoring.findings import Finding
from penstock.registry.entities import FileDigest, Manifest, ModelVersion, Provenance, Verdict
from penstock.registry.verdicts import add_verdict
from penstock.registry.versions import add_version

POLICY = """\
model: m@champion
monitor: {{window_s: 1, windows: 600}}
guardrails:
  - errors: {{max_ratio: 0.02, action: alert}}
retrain: {{on: [quality], rev: main, command: {command!r}}}
"""
MISSING = Manifest((FileDigest(path="MLmodel", size=1, sha256="0" * 64),))
"""A file that the artifact store has not: what was registered so is refused where it should go out."""
FALLING = """\
model: m@champion
monitor: {{window_s: 1, windows: 600}}
guardrails:
  - quality: {{metric: roc_auc, against: offline, max_drop: 0.1, min_labels: 100, action: alert}}
on_breach: [alert]
retrain: {{on: quality, rev: {rev}, command: {command!r}}}
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

    def add_version(self, number: int, *, passed: bool | None = None, retraining: str = "") -> None:
        """Register a version that was trained at the last commit, and its verdict; `retraining` is the log of who did."""
        made = ModelVersion(
            model="m", number=0, digest=f"{number:064x}", created_ms=0, actor="ci", path="m",
            manifest=MISSING, provenance=Provenance(commit=self.git.resolve("HEAD")),
            metrics={}, profile_digest=None,
        )  # fmt: skip
        with self.world.project.database.write() as connection:
            version = add_version(connection, made, reuse=True, retraining=retraining)
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
        count = len(self.world.events())

        def has_ended() -> bool:
            self.retraining.follow()
            return len(self.world.events()) > count

        wait_until(has_ended)
        made = self.retraining.made.get("delay")
        return made.ref if made else None

    def let_quality_fall(self, command: str, rev: str = "main", endpoint: str = "delay") -> str:
        """Let live quality fall below that of the version, with newer data to learn from; return their commit."""
        (self.world.root / "penstock.yaml").write_text("project: world\n")
        with self.world.project.database.write() as connection:
            connection.execute(sa.text("UPDATE model_versions SET metrics = '{\"roc_auc\": 0.85}'"))
        self.world.policy(FALLING.format(command=command, rev=rev), endpoint=endpoint)
        self.world.traffic("stable", 200, ago_s=2, quality=scored(400, 1.5, inverted=True), endpoint=endpoint)
        return self.commit("data/raw.csv.dvc", f"outs: [{{path: {endpoint}.csv}}]\n")

    def told(self) -> list[str]:
        """Return the events of retrainings by kind."""
        return [one.kind for one in self.world.events() if one.kind.startswith("retrain.")]
