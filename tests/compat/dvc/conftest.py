"""The real `dvc` program as the other side, and repositories both work in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from servers.s3 import S3Server, run_s3

pytest.register_assert_rewrite("compat.dvc.sides")
ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    "DVC_NO_ANALYTICS": "1",
    "DVC_TEST": "true",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.org",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.org",
}


@dataclass(frozen=True)
class Tool:
    """One of the two programs, run as a user would."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]

    def __call__(self, cwd: Path, *arguments: str | Path, ok: bool = True) -> str:
        done = self.run(cwd, *arguments)
        if ok:
            assert done.returncode == 0, f"{self.name} {arguments}: {done.stdout}{done.stderr}"
        else:
            assert done.returncode != 0, f"{self.name} {arguments} succeeded: {done.stdout}"
        return done.stdout

    def run(self, cwd: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            env=self.environment,
            timeout=300,
        )

    def json(self, cwd: Path, *arguments: str) -> Any:
        return json.loads(self(cwd, *arguments, "--json"))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    site = tmp_path_factory.mktemp("site")
    return {
        **os.environ,
        **ENVIRONMENT,
        "HOME": str(site),
        "DVC_SITE_CACHE_DIR": str(site / "cache"),
        "DVC_GLOBAL_CONFIG_DIR": str(site / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(site / "system"),
    }


@pytest.fixture(scope="session")
def dvc(environment: dict[str, str]) -> Tool:
    found = os.environ.get("PENSTOCK_DVC") or str(ROOT / ".venv-peers" / "bin" / "dvc")
    if not Path(found).exists():
        pytest.skip("no dvc program: make .venv-peers/.installed, or set PENSTOCK_DVC")
    return Tool("dvc", (found,), environment)


@pytest.fixture(scope="session")
def penstock(environment: dict[str, str]) -> Tool:
    beside = Path(sys.executable).with_name("penstock")
    return Tool("penstock", (str(beside),), environment)


@pytest.fixture(params=["dvc writes", "penstock writes"])
def sides(request: pytest.FixtureRequest, dvc: Tool, penstock: Tool) -> tuple[Tool, Tool]:
    """The tool that writes and the one that reads, in both roles."""
    return (dvc, penstock) if request.param == "dvc writes" else (penstock, dvc)


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


@pytest.fixture
def make_repo(tmp_path: Path) -> Callable[[str, Tool], Path]:
    def make(name: str, tool: Tool) -> Path:
        root = tmp_path / name
        root.mkdir()
        git(root, "init", "-q")
        tool(root, "init")
        git(root, "add", "-A")
        git(root, "commit", "-qm", "init")
        return root

    return make


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with run_s3(tmp_path_factory.mktemp("ceph") / "s3") as server:
        yield server


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
