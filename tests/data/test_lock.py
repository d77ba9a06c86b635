"""The lock is DVC's."""

from __future__ import annotations

import fcntl

import pytest

from penstock.base.errors import Conflict
from penstock.data.lock import repository_lock
from penstock.data.repository import DataRepository


def test_a_held_lock_is_a_conflict(repo: DataRepository) -> None:
    with (repo.dvc_dir / "tmp" / "lock").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Conflict), repository_lock(repo, wait_s=0.1):
            pass


def test_the_lock_is_free_again(repo: DataRepository) -> None:
    for _ in range(2):
        with repository_lock(repo, wait_s=0.1):
            pass


def test_a_lent_lock_is_free_for_the_block_and_held_after_it(repo: DataRepository) -> None:
    def is_free() -> bool:
        with (repo.dvc_dir / "tmp" / "lock").open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            return True

    with repository_lock(repo) as lock:
        assert not is_free()
        with lock.lent():
            assert is_free()
        assert not is_free()
        with pytest.raises(ValueError, match="x"), lock.lent():
            raise ValueError("x")
        assert not is_free()
    assert is_free()
