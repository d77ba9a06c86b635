"""Stages and pointers whose outputs lie outside: no command removes, writes or keeps anything there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from servers.forking import run_penstock

STAGE = "stages:\n  s:\n    cmd: {python} -c 0\n    {wdir}outs:\n    - {path}\n    - mine\n"
POINTER = "{wdir}outs:\n- md5: 78b9861f74e15d7d0f077ba22421b8e4\n  size: 5\n  hash: md5\n  path: {path}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository beside a directory of somebody else's, with a link to it."""
    root = tmp_path / "repo"
    victim = tmp_path / "victim"
    for folder in (root, victim / "sub"):
        folder.mkdir(parents=True)
    for name in ("v", "sub/w"):
        (victim / name).write_text("precious\n")
    (victim / ".gitignore").write_text("/v\n/sub\n/keep\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    assert run_penstock(root, "init", "-q").returncode == 0
    (root / "lnk").symlink_to(victim)
    (root / "mine").write_text("mine\n")
    return root


def state(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in folder.rglob("*") if path.is_file()}


PLACES = [
    ("", "../victim/v"),
    ("", "../victim/sub"),
    ("", "{victim}/v"),
    ("", "lnk/v"),
    ("", "lnk/sub"),
    ("wdir: lnk\n", "v"),
    ("wdir: ../victim\n", "sub"),
]


@pytest.mark.parametrize(("wdir", "path"), PLACES)
@pytest.mark.parametrize(
    "command", ["remove s", "remove --outs s", "repro", "repro -f s", "commit -f s", "checkout --force"]
)
def test_a_stage_that_makes_what_lies_outside(root: Path, command: str, wdir: str, path: str) -> None:
    victim = root.parent / "victim"
    indent = wdir + "    " if wdir else ""
    text = STAGE.format(python=sys.executable, wdir=indent, path=path.format(victim=victim))
    (root / "dvc.yaml").write_text(text)
    before = state(victim)
    done = run_penstock(root, *command.split())
    assert state(victim) == before
    assert (root / "dvc.yaml").read_text() == text
    assert (root / "mine").read_text() == "mine\n"
    assert "Traceback" not in done.stderr and "defect" not in done.stderr
    if not command.startswith("checkout"):
        assert done.returncode == 1, done.stderr
        assert "Running" not in done.stderr
        assert "outside the repository" in done.stderr or "symbolic link" in done.stderr
    assert not list((root / ".dvc" / "cache").rglob("files"))


@pytest.mark.parametrize(("wdir", "path"), PLACES)
@pytest.mark.parametrize(
    "command", ["remove p.dvc", "remove --outs p.dvc", "commit -f p.dvc", "checkout --force"]
)
def test_a_pointer_to_what_lies_outside(root: Path, command: str, wdir: str, path: str) -> None:
    victim = root.parent / "victim"
    text = POINTER.format(wdir=wdir, path=path.format(victim=victim))
    (root / "p.dvc").write_text(text)
    before = state(victim)
    done = run_penstock(root, *command.split())
    assert state(victim) == before
    assert (root / "p.dvc").read_text() == text
    assert done.returncode != 0
    assert "outside the repository" in done.stderr or "symbolic link" in done.stderr
