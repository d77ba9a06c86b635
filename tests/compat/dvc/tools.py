"""The two programs that work in one repository, and what tests see of a repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ENVIRONMENT = {
    "DVC_NO_ANALYTICS": "1",
    "DVC_TEST": "true",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.org",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.org",
}


class Caller(Protocol):
    """Who answers calls of a program: a process of it, or what is remembered of it."""

    def run(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Answer one call."""
        ...


@dataclass(frozen=True)
class Tool:
    """One of the two programs, run as a user would."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    server: Caller

    def __call__(self, cwd: Path, *arguments: str | Path, ok: bool = True) -> str:
        done = self.run(cwd, *arguments)
        if ok:
            assert done.returncode == 0, f"{self.name} {arguments}: {done.stdout}{done.stderr}"
        else:
            assert done.returncode != 0, f"{self.name} {arguments} succeeded: {done.stdout}"
        return done.stdout

    def run(self, cwd: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return self.server.run([*map(str, arguments)], cwd=cwd, env=self.environment)

    def json(self, cwd: Path, *arguments: str) -> Any:
        return json.loads(self(cwd, *arguments, "--json"))


def git(cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **ENVIRONMENT},
    )
    return done.stdout


def listing(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and mode of every file below a directory."""
    found = {}
    for parent, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[os.fsdecode(os.path.relpath(path, os.fsencode(folder)))] = (
                    file.read(),
                    os.stat(path).st_mode & 0o777,
                )
    return found


def cache_of(root: Path) -> dict[str, tuple[bytes, int]]:
    return listing(root / ".dvc" / "cache" / "files")


def copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)
