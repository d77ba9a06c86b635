"""A bare repository on this machine, the project that validates what is pushed to it, and somebody who works in a clone."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner

from penstock.ci.report import CiReport
from penstock.cli.main import cli
from penstock.flows.ci.hook import receive_push
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.flows.tracked import versioning
from penstock.registry.aliases import find_alias
from penstock.workspace import open_workspace
from projects import Sample

NO_HOOKS = "no-hooks"


class Office:
    """What is pushed is validated in this process, by what the hook calls; by the hook itself where `push` is told so."""

    def __init__(self, made: Sample, place: Path) -> None:
        self.bare, self.home = place / "flights.git", made.root
        made.git.run("config", "remote.origin.url", str(self.bare))
        subprocess.run(["git", "clone", "--quiet", "--bare", str(made.root), str(self.bare)], check=True)
        self.at_work = Sample(place / "ada")
        subprocess.run(["git", "clone", "--quiet", str(self.bare), str(self.at_work.root)], check=True)
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
            self.at_work.git.run("config", key, value)

    @classmethod
    def open(cls, released: Sample, place: Path) -> Office:
        """Return the office of the sample, released and deployed, with a remote for data and a hook that deploys."""
        settings = released.root / "penstock.yaml"
        text = settings.read_text().replace('ci:\n  tests: "true"', 'ci:\n  tests: "true"\n  deploy: rollout')
        settings.write_text(text)
        remote = ["remote", "add", "-d", "shared", str(place / "shared")]
        CliRunner().invoke(cli, ["-C", str(released.root), *remote])
        released.commit("Deploy what passes")
        released.close()
        made = Sample(released.root)
        versioning.push(made.project.data)
        apply_deployment(made.project, plan_deployment(made.project, "delay", "late/1"))
        made.close()
        office = cls(made, place)
        said = office.penstock("ci", "accept", "HEAD", "--reason", "we mean to deploy")
        assert "are accepted by" in said
        said = office.penstock("ci", "init", "hook")
        assert f"{office.bare}/hooks/post-receive written" in said
        return office

    def send(self, message: str, branch: str = "main", *, with_data: bool = True) -> str:
        """Commit, push data and code past the hook, and return what git would tell it."""
        self.commit(message, with_data=with_data)
        ref = f"refs/heads/{branch}"
        git = Sample(self.bare).git
        before = git.run("rev-parse", "--verify", "--quiet", ref, check=False) or "0" * 40
        git.run("config", "core.hooksPath", NO_HOOKS)
        self.at_work.git.run("push", "--quiet", "--force", "origin", f"HEAD:{ref}")
        git.run("config", "--unset", "core.hooksPath")
        return f"{before} {self.at_work.git.head()} {ref}\n"

    def commit(self, message: str, *, with_data: bool = False) -> None:
        """Commit, and push the data."""
        self.at_work.git.run("add", "--all")
        self.at_work.git.run("commit", "--quiet", "--allow-empty", "--message", message)
        if with_data:
            versioning.push(self.at_work.project.data)

    def push(self, message: str, branch: str = "main", *, with_data: bool = True) -> str:
        """Push, and return what who pushed is shown."""
        line = self.send(message, branch, with_data=with_data)
        return (
            CliRunner()
            .invoke(cli, ["-C", str(self.home), "ci", "receive", str(self.bare)], input=line)
            .output
        )

    def report(self, message: str, branch: str = "main") -> CiReport:
        """Push code alone, and return the report."""
        line = self.send(message, branch, with_data=False)
        with closing(open_workspace(self.home, {"USER": "ci"})) as project:
            [(report, _)] = receive_push(
                project, self.bare, [line], on_step=lambda step: None, on_begin=lambda branch, commit: None
            )
        return report

    def push_by_hook(self, message: str) -> str:
        """Push with git alone, whose hook validates, and return what it showed."""
        self.commit(message, with_data=True)
        done = subprocess.run(
            ["git", "push", "origin", "HEAD:main"],
            cwd=self.at_work.root, capture_output=True, text=True, check=True, env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        )  # fmt: skip
        return done.stderr

    def penstock(self, *arguments: str) -> str:
        """Run a command where pushes are validated."""
        done = CliRunner().invoke(cli, ["-C", str(self.home), *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    def champion(self) -> int:
        """Return the number of the champion."""
        project = open_workspace(self.home, {"USER": "ada"})
        with project.database.read() as connection:
            alias = find_alias(connection, "late", "champion")
        project.close()
        return alias.version if alias else 0

    def accept(self) -> str:
        """Accept the settings of what was pushed last, and return its commit."""
        commit = (self.at_work.git.head() or "")[:10]
        self.penstock("ci", "accept", commit, "--reason", "meant so")
        return commit

    def accept_and_run(self) -> None:
        """Accept the settings of what was pushed last, as its report says, and let it out."""
        self.penstock("ci", "run", "--rev", self.accept(), "--deploy")

    def hook_git(self, *arguments: str) -> None:
        """Run git where pushes are validated."""
        Sample(self.home).git.run(*arguments)

    def data(self, text: str) -> None:
        """Replace the raw data by others."""
        self.at_work.write("data/raw.csv", text)
        self.at_work.add("data/raw.csv")
