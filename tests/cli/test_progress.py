"""Progress is for a person at a terminal, and for nobody else."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.data.verbs.creation import init_repository

PENSTOCK = Path(sys.executable).with_name("penstock")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / "d").mkdir(parents=True)
    init_repository(root, no_scm=True)
    for number in range(3000):
        (root / "d" / f"{number}").write_text(f"{number}")
    repo = DataRepository.open(root)
    add_path(repo, root / "d")
    repo.close()
    subprocess.run([PENSTOCK, "remote", "add", "-d", "r", str(tmp_path / "remote")], cwd=root, check=True)
    return root


def run_at_terminal(root: Path, *arguments: str) -> tuple[str, str]:
    """Run a command whose standard error is a terminal; return both outputs."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        [PENSTOCK, *arguments], cwd=root, stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not data:
            break
        seen += data
    os.close(ours)
    out, _ = process.communicate()
    assert process.returncode == 0, seen
    return out.decode(), seen.decode(errors="replace")


def test_a_person_sees_how_far_how_fast_and_how_long(root: Path) -> None:
    out, seen = run_at_terminal(root, "push")
    assert "3,001 objects pushed" in out
    assert "push" in seen and "3000/3000" in seen.replace(" ", "") and "/s," in seen and "MB/s" in seen
    assert "\r" not in out and "\x1b" not in out


def test_nobody_else_does(root: Path) -> None:
    done = subprocess.run([PENSTOCK, "push"], cwd=root, capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout == "3,001 objects pushed\n"
    _, seen = run_at_terminal(root, "-q", "push")
    assert seen == ""
