"""Hashing: right, once, and never from a stale memory."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from penstock.base.errors import NotFound
from penstock.data.cache import hashing
from penstock.data.cache.hashing import hash_path, save_path
from penstock.data.cache.presence import has
from penstock.data.repository import DataRepository

from .conftest import write_files


def age(folder: Path) -> None:
    """Make files old enough to be remembered."""
    past = time.time_ns() - 10**9
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, ns=(past, past))


def test_a_file_has_its_md5(repo: DataRepository) -> None:
    for size in (0, 1, 5000, (4 << 20) - 1, 4 << 20, (4 << 20) + 1):
        data = os.urandom(size)
        (repo.root / "f").write_bytes(data)
        info = save_path(repo, repo.root / "f")
        assert (info.md5, info.size) == (hashlib.md5(data).hexdigest(), size)
        path = Path(repo.cache.path(info.md5))
        assert path.read_bytes() == data
        assert path.stat().st_mode & 0o777 == 0o444


def test_what_is_not_there_is_not_found(repo: DataRepository) -> None:
    with pytest.raises(NotFound):
        hash_path(repo, repo.root / "nothing")


def test_nothing_is_read_twice(repo: DataRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(repo.root / "d", {"a": "1", "s/b": "2"})
    age(repo.root / "d")
    first = save_path(repo, repo.root / "d")
    monkeypatch.setattr(hashing, "_read", lambda *_: pytest.fail("a known file was read"))
    assert hash_path(repo, repo.root / "d") == first
    (repo.root / "d").rename(repo.root / "moved")
    assert hash_path(repo, repo.root / "moved") == first


def test_a_change_within_the_clocks_tick_is_seen(repo: DataRepository) -> None:
    folder = write_files(repo.root / "d", {"a": "1"})
    for number in range(50):
        (folder / "a").write_text(str(number % 10))
        info = hash_path(repo, folder)
        (folder / "a").write_text(str((number + 1) % 10))
        assert hash_path(repo, folder) != info


def test_a_tree_is_complete_only_with_all_its_objects(repo: DataRepository) -> None:
    write_files(repo.root / "d", {"a": "1", "b": "2"})
    info = save_path(repo, repo.root / "d")
    assert has(repo, info)
    os.unlink(repo.cache.path(hashlib.md5(b"1").hexdigest()))
    assert not has(repo, info)
    save_path(repo, repo.root / "d")
    assert has(repo, info)
