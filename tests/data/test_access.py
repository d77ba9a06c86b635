"""`penstock.open` and `read_bytes`: versioned files from cache and remote, by range."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from penstock.base.errors import Corrupt, Invalid, NotFound
from penstock.data.cache.transfer import push_objects
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.flows.sources.access import open_data, read_bytes
from penstock.storage.local import LocalBackend

from .conftest import write_files
from .test_garbage import commit


@pytest.fixture
def root(repo: DataRepository, tmp_path: Path) -> str:
    """Two commits of a directory and git's own file, pushed."""
    config = f"[core]\n    remote = s\n['remote \"s\"']\n    url = {tmp_path}/store\n"
    (repo.dvc_dir / "config").write_text(config)
    for content in ("one", "two"):
        write_files(repo.root, {"d/file": content * 1000, "d/sub/x": "x", "code.py": content})
        push_objects(repo, [add_path(repo, repo.root / "d").hash], LocalBackend(tmp_path / "store"))
        commit(repo.root, content)
    return str(repo.root)


@pytest.mark.parametrize("place", ["cache", "remote"])
def test_any_revision_is_read(repo: DataRepository, root: str, place: str) -> None:
    if place == "remote":
        shutil.rmtree(repo.cache.root)
    assert read_bytes("d/file", repo=root) == b"two" * 1000
    assert read_bytes("d/file", rev="HEAD~1", repo=root) == b"one" * 1000
    assert read_bytes("code.py", rev="HEAD~1", repo=root) == b"one"
    with open_data("d/file", rev="HEAD~1", repo=root) as file:
        file.seek(-4, 2)
        assert file.read() == b"eone"
        file.seek(1)
        assert file.read(4) == b"neon"


@pytest.mark.parametrize("place", ["cache", "remote"])
def test_nobody_moves_before_the_start(repo: DataRepository, root: str, place: str) -> None:
    if place == "remote":
        shutil.rmtree(repo.cache.root)
    with open_data("d/file", repo=root) as file:
        file.read(3)
        for offset, whence in ((-5, 0), (-5, 1), (-3001, 2)):
            with pytest.raises(OSError, match="Invalid argument"):
                file.seek(offset, whence)
        with pytest.raises(ValueError, match="whence"):
            file.seek(0, 7)
        assert file.read(3) == b"two"


def test_what_is_not_there_is_named(repo: DataRepository, root: str) -> None:
    for path in ("nothing", "d/nothing", "d/sub/x/y"):
        with pytest.raises(NotFound):
            open_data(path, repo=root)
    for path in ("d", "d/sub"):
        with pytest.raises(Invalid):
            open_data(path, repo=root)
    with pytest.raises(Invalid):
        open_data("../victim", repo=root)
    with pytest.raises(NotFound):
        open_data("d/file", rev="no-such", repo=root)


def test_damaged_bytes_are_not_returned(repo: DataRepository, root: str) -> None:
    subprocess.run(["chmod", "-R", "u+w", str(repo.cache.root)], check=True)
    for path in (repo.cache.root / "files").rglob("*"):
        if path.is_file() and path.suffix != ".dir":
            path.write_bytes(b"damaged")
    with pytest.raises(Corrupt):
        read_bytes("d/file", repo=root)


@pytest.mark.parametrize("place", ["cache", "remote"])
def test_a_file_read_to_its_end_is_checked(
    repo: DataRepository, root: str, tmp_path: Path, place: str
) -> None:
    store = repo.cache.root if place == "cache" else tmp_path / "store"
    if place == "remote":
        shutil.rmtree(repo.cache.root)
    with open_data("d/file", repo=root) as file:
        assert b"".join(iter(lambda: file.read(1000), b"")) == b"two" * 1000
        file.seek(0)
        assert file.read() == b"two" * 1000
    subprocess.run(["chmod", "-R", "u+w", str(store)], check=True)
    for path in (store / "files").rglob("*"):
        if path.is_file() and path.stat().st_size == 3000:
            path.write_bytes(b"two" * 999 + b"bad")
    with open_data("d/file", repo=root) as file, pytest.raises(Corrupt, match="d/file is damaged"):
        while file.read(100):
            pass
    with open_data("d/file", repo=root) as file:  # nothing is known of a part
        file.seek(3)
        assert file.read(3) == b"two"


def test_what_is_nowhere_is_told_from_what_is_not_tracked(
    repo: DataRepository, root: str, tmp_path: Path
) -> None:
    shutil.rmtree(repo.cache.root)
    tree = next((tmp_path / "store").rglob("*.dir"))
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file() and path.suffix != ".dir":
            path.unlink()
    assert tree.exists()
    with pytest.raises(NotFound, match="neither in the cache nor on the remote 's'"):
        open_data("d/file", repo=root)
    with pytest.raises(NotFound, match="no repository of git, DVC or penstock"):
        open_data("d/file", repo=str(tmp_path))
