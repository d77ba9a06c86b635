"""Completion in a real bash: the printed script is loaded, and its function asked as the shell asks it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "penstock", *arguments], check=False, cwd=folder, capture_output=True, text=True
    )


def complete(folder: Path, line: str) -> list[str]:
    """Return what bash would offer at the end of `line`."""
    words = line.split(" ")
    code = (
        'eval "$(penstock completion -s bash)"\n'
        f"COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}\n"
        "_penstock_completion penstock\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    path = f"{BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", code],
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def test_bash_completes_commands_flags_and_remotes(tmp_path: Path) -> None:
    run(tmp_path, "init", "--no-scm")
    for name in ("storage", "stage-box", "other"):
        run(tmp_path, "remote", "add", name, "/nowhere")
    assert complete(tmp_path, "penstock che") == ["check-ignore", "checkout"]
    assert "--all-branches" in complete(tmp_path, "penstock push --all-")
    assert complete(tmp_path, "penstock push -r st") == ["storage", "stage-box"]
    assert complete(tmp_path, "penstock remote modify o") == ["other"]
    (tmp_path / "outside").mkdir()
    assert complete(tmp_path / "outside", "penstock remote list --j") == ["--json"]


def test_remotes_outside_of_a_repository_are_none(tmp_path: Path) -> None:
    assert complete(tmp_path, "penstock push -r s") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(tmp_path: Path, shell: str) -> None:
    assert f"_PENSTOCK_COMPLETE={shell}_complete" in run(tmp_path, "completion", "-s", shell).stdout


def test_an_unknown_shell_is_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "penstock", "completion"],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "SHELL": "/bin/dash"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "'dash'" in done.stderr and "penstock completion -s bash" in done.stderr
