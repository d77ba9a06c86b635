"""Who takes an experiment from the queue is told why it could not be had."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from penstock.base import git as gits
from penstock.base.errors import Conflict, Invalid
from penstock.base.git import Git
from penstock.flows.experiments.queueing import enqueue, finish, list_waiting, take
from penstock.flows.experiments.request import Request


@pytest.fixture
def git(tmp_path: Path) -> Git:
    git = Git(tmp_path)
    git.run("init", "--quiet")
    for name in ("user.name", "user.email"):
        git.run("config", name, "a")
    git.run("commit", "--quiet", "--allow-empty", "--message", "one")
    enqueue(git, "e", git.resolve("HEAD"), git.run("write-tree"), Request())
    return git


def test_one_that_another_took_is_gone_and_one_that_git_cannot_give_is_not(
    git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = list_waiting(git, "queue")
    lock = git.root / ".git/packed-refs.lock"
    lock.touch()
    with monkeypatch.context() as patch:
        patch.setattr(gits, "PATIENT", ("-c", "core.packedRefsTimeout=0"))
        with pytest.raises(Invalid, match="git update-ref failed"):
            take(git, one)
    assert list_waiting(git, "queue") == [one]
    threading.Timer(1.3, lock.unlink).start()  # by itself git waits for a second
    take(git, one)
    finish(git, one.job)
    with pytest.raises(Conflict, match="no longer in the queue"):
        take(git, one)
