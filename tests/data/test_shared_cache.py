"""A cache that a group shares is the group's in all its parts; objects that cannot be linked one way are in the next."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.data.cache.garbage import apply_cache, plan_cache, undo_removal
from penstock.data.cache.placing import Placer, choose_kind
from penstock.data.formats.yamltext import dump_document
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.flows.tracked.remotes.run_history import fetch_runs
from penstock.pipeline.lockfile import LockedPath, LockEntry
from penstock.pipeline.runcache import record_key, save_run
from penstock.pipeline.stage import Stage, StageOutput
from penstock.storage.memory import MemoryBackend

from .conftest import write_files


@pytest.fixture
def shared(repo: DataRepository, tmp_path: Path) -> Iterator[DataRepository]:
    """The repository with a group's cache outside, under a mask that lets nobody else write."""
    config = repo.dvc_dir / "config"
    config.write_text(f"[cache]\n    shared = group\n    dir = {tmp_path / 'far' / 'cache'}\n")
    before = os.umask(0o022)
    opened = DataRepository.open(repo.root)
    yield opened
    opened.close()
    os.umask(before)


def _entry(repo: DataRepository, name: str) -> LockEntry:
    info = add_path(repo, repo.root / name).hash
    return LockEntry("x", (LockedPath(name, info),), {}, (LockedPath(name, info),))


def test_whatever_is_made_in_the_cache_the_group_can_write_to(shared: DataRepository) -> None:
    write_files(shared.root, {"data/a": "a", "data/b": "b", "f": "f", "g": "g"})
    add_path(shared, shared.root / "data")
    choose_kind(shared, shared.root)
    stage = Stage("s", ("x",), dependencies=("f",), outputs=(StageOutput("f"),))
    save_run(shared, shared.root, stage, _entry(shared, "f"))
    remote = MemoryBackend()
    entry = _entry(shared, "g")
    remote.put(record_key(entry), dump_document(entry.to_document()).encode())
    assert fetch_runs(shared, remote) == 1
    apply_cache(shared, plan_cache(shared.cache, (), (), 0))
    shutil.rmtree(shared.cache.root / "files")
    reopened = DataRepository.open(shared.root)
    undo_removal(reopened)
    reopened.close()
    root = shared.cache.root
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in (root, *root.rglob("*"))}
    files = {path: mode for path, mode in found.items() if path.is_file()}
    assert {found[path] for path in found.keys() - files.keys()} == {0o2775}
    assert {mode for path, mode in files.items() if path.is_relative_to(root / "runs")} == {0o664}
    assert {mode for path, mode in files.items() if path.is_relative_to(root / "files")} == {0o444}
    assert stat.S_IMODE(root.parent.stat().st_mode) == 0o755  # what is around the cache is not the cache


def test_an_object_that_cannot_be_linked_one_way_is_in_the_next(repo: DataRepository) -> None:
    here = repo.root.stat().st_dev
    places = [place for place in ("/dev/shm", "/var/tmp") if os.stat(place).st_dev != here]
    if not places:
        pytest.skip("one file system only")
    with tempfile.TemporaryDirectory(dir=places[0]) as other:
        for kinds, is_link in (("hardlink,symlink", True), ("hardlink,copy", False), ("hardlink", False)):
            (repo.dvc_dir / "config").write_text(f'[cache]\n    dir = {other}/cache\n    type = "{kinds}"\n')
            opened = DataRepository.open(repo.root)
            write_files(repo.root, {"f": "content"})
            info = add_path(opened, repo.root / "f", relink=False).hash
            placer = Placer(opened)
            placer._kind = "hardlink"  # what was found for another object of this cache
            placer.place_file(info.md5, repo.root / "f")
            assert (repo.root / "f").is_symlink() == is_link
            assert (repo.root / "f").read_text() == "content"
            (repo.root / "f").unlink()
            opened.close()
