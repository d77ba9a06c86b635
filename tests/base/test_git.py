"""Git is asked for facts; what the tree has beyond HEAD can be applied elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from patience import PATIENCE_S, wait_until
from penstock.base.errors import NotFound
from penstock.base.git import Git
from penstock.base.threads import begin


@pytest.fixture
def git(tmp_path: Path) -> Git:
    root = tmp_path / "repository"
    root.mkdir()
    git = Git(root)
    git.run("init", "--quiet", "--initial-branch", "main")
    git.run("config", "user.email", "a@example.org")
    git.run("config", "user.name", "a")
    (root / "a.txt").write_text("one\n")
    git.run("add", "--all")
    git.run("commit", "--quiet", "--message", "one")
    return git


def test_a_clean_tree_has_an_empty_patch(git: Git) -> None:
    assert git.dirty_patch(leave_out=["dvc.lock"], commit=git.head()) == b""


def test_the_patch_carries_changes_new_files_and_binary_content_and_leaves_the_index_alone(
    git: Git, tmp_path: Path
) -> None:
    (git.root / "a.txt").write_text("two\n")
    (git.root / "nëw file").write_bytes(bytes(range(256)))
    (git.root / "dvc.lock").write_text("not part\n")
    before = git.run("status", "--porcelain")
    patch = git.dirty_patch(leave_out=["dvc.lock"], commit=git.head())
    assert git.run("status", "--porcelain") == before
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(git.root), str(clone)], check=True)
    (tmp_path / "patch").write_bytes(patch)
    Git(clone).run("apply", "--binary", str(tmp_path / "patch"))
    assert (clone / "a.txt").read_text() == "two\n"
    assert (clone / "nëw file").read_bytes() == bytes(range(256))
    assert not (clone / "dvc.lock").exists()


def test_a_repository_without_commits_has_everything_in_its_patch(tmp_path: Path) -> None:
    git = Git(tmp_path)
    git.run("init", "--quiet")
    (tmp_path / "a").write_text("x")
    assert git.head() is None
    assert b"a" in git.dirty_patch(leave_out=["dvc.lock"], commit=git.head())


@pytest.mark.parametrize("revision", ["nothing", "--help", "-x", "a..b"])
def test_an_unknown_revision_is_named(git: Git, revision: str) -> None:
    with pytest.raises(NotFound, match="knows no revision"):
        git.resolve(revision)


def test_what_is_left_out_of_a_patch_may_be_ignored(git: Git) -> None:
    (git.root / ".gitignore").write_text("*.json\nbuilt/\n")
    (git.root / "built").mkdir()
    for name in ("m.json", "built/o", "left", "a.txt"):
        (git.root / name).write_text("new")
    patch = git.dirty_patch(leave_out=["m.json", "built/o", "left", "not there.json"], commit=git.head())
    assert b"a.txt" in patch
    assert b"m.json" not in patch
    assert b"left" not in patch


def test_an_interrupted_git_takes_its_locks_away(git: Git, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    hook = git.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho $$ > {begun}.part; mv {begun}.part {begun}; exec sleep 1000\n")
    hook.chmod(0o755)

    def interrupt() -> None:
        wait_until(begun.exists)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupting = begin("interrupt", interrupt)
    lock = git.root / ".git/index.lock"
    try:
        with pytest.raises(KeyboardInterrupt):
            git.run("commit", "--quiet", "--allow-empty", "--message", "two")
        interrupting.result(PATIENCE_S)
        wait_until(lambda: not lock.exists())
    finally:
        signal.signal(signal.SIGINT, before)
        if begun.exists():
            os.kill(int(begun.read_text()), signal.SIGKILL)
