"""The demo holds, in a place with odd letters, and leaves a repository real DVC accepts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def dvc(cwd: Path, *arguments: str) -> str:
    program = os.environ.get("PENSTOCK_DVC") or str(ROOT / ".venv-peers/bin/dvc")
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder that the demo left, and what it said."""
    folder = tmp_path_factory.mktemp("demo") / "dëmo 1"
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli", "--json", "demo", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, json.loads(done.stdout)


def test_the_demo_holds(demo: tuple[Path, Any]) -> None:
    _, document = demo
    assert [step["step"] for step in document["steps"]] == [1, 2, 3, 4, 5, 6]
    assert document["numbers"]["rollback_requests"] >= 2000
    assert document["numbers"]["rollback_failures"] == 0


def test_real_dvc_finds_nothing_to_do(demo: tuple[Path, Any]) -> None:
    repository = demo[0] / "flights"
    assert "up to date" in dvc(repository, "status")
    assert "Running stage" not in dvc(repository, "repro", "--dry")


def test_real_dvc_pulls_the_same_into_a_clone(demo: tuple[Path, Any], tmp_path: Path) -> None:
    repository, clone = demo[0] / "flights", tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(repository), str(clone)], check=True)
    dvc(clone, "pull")
    for name in ("data/raw", "models/delay"):
        assert files(clone / name) == files(repository / name)
    for name in ("data/train.parquet", "data/test.parquet"):
        assert (clone / name).read_bytes() == (repository / name).read_bytes()
