"""Verification finds every missing and every damaged object."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.data.cache.verification import verify_cache
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path

from .conftest import write_files


def test_missing_and_damaged_objects_are_named(repo: DataRepository) -> None:
    write_files(repo.root / "d", {f"f{number}": str(number) for number in range(700)})
    info = add_path(repo, repo.root / "d").hash
    assert verify_cache(repo, [info]).is_sound
    gone, bad, *_ = sorted(repo.cache.load_tree(info).values())
    os.unlink(repo.cache.path(gone))
    path = Path(repo.cache.path(bad))
    path.chmod(0o644)
    path.write_text("evil")
    path.chmod(0o444)
    found = verify_cache(repo, [info])
    assert (found.missing, found.damaged, found.checked) == ([gone], [bad], 700)


def test_a_damaged_tree_is_named(repo: DataRepository) -> None:
    write_files(repo.root / "d", {"a": "1"})
    info = add_path(repo, repo.root / "d").hash
    path = Path(repo.cache.path(info.md5))
    path.chmod(0o644)
    path.write_text("[]")
    assert verify_cache(repo, [info]).damaged == [info.md5]
