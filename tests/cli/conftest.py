"""A repository and the real program in it, for tests of what a user types and reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import sharing
from patience import PATIENCE_S
from servers.forking import penstock_server

IDENTITY = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.org",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.org",
}


@dataclass
class Desk:
    """A git repository with penstock; `home` is empty, so that nothing of this machine's settings counts."""

    root: Path
    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()

    def run(self, *arguments: str | Path, code: int = 0, cwd: str = "") -> subprocess.CompletedProcess[str]:
        """Run penstock as a user would, and expect this exit code and no traceback."""
        environment = {**os.environ, **IDENTITY, "HOME": str(self.home), **self.variables}
        words = [*map(str, arguments)]
        if self.before:
            done = subprocess.run(
                [*self.before, sys.executable, "-m", "penstock.cli", *words],
                cwd=self.root / cwd,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_S,
                env=environment,
            )
        else:
            done = penstock_server().run(words, cwd=self.root / cwd, env=environment)
        assert "Traceback" not in done.stderr
        assert done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def json(self, *arguments: str | Path, code: int = 0, cwd: str = "") -> Any:
        """Run with `--json` and return the document."""
        return json.loads(self.run(*arguments, "--json", code=code, cwd=cwd).stdout)

    def error(self, *arguments: str | Path, code: int = 1, cwd: str = "") -> str:
        """Return what a command that fails says."""
        return self.run(*arguments, code=code, cwd=cwd).stderr

    def put(self, files: dict[str, str]) -> None:
        """Write files below the root."""
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def git(self, *arguments: str) -> str:
        """Run git."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **IDENTITY},
        )
        return done.stdout

    def commit_all(self) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-qm", "all")

    def obey_modes(self) -> None:
        """From now on run the program without root's power to read and write what modes forbid."""
        if os.geteuid() == 0:
            caps = "-dac_override,-dac_read_search"
            self.before = ("setpriv", "--bounding-set", caps, "--inh-caps", "-all")

    def beside(self, name: str) -> Desk:
        """Make another repository next to this one."""
        return make_desk(self.root.with_name(name), self.home)


def make_desk(root: Path, home: Path) -> Desk:
    """Copy the repository of git and penstock that one process of the run has made."""

    def begin(place: Path) -> None:
        place.mkdir()
        desk = Desk(place, home)
        desk.git("init", "-q", "-b", "main")
        desk.run("init")
        desk.commit_all()

    home.mkdir(exist_ok=True)
    shutil.copytree(sharing.made("desk", begin), root, symlinks=True)
    return Desk(root, home)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An empty repository."""
    return make_desk(tmp_path / "repo", tmp_path / "home")
