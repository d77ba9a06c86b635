"""Links that a clone brings in place of what is written below `.dvc`: refused before anything is written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from penstock.base.errors import Invalid
from penstock.data.lock import repository_lock
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.data.verbs.creation import init_repository

TMP = (
    "lock",
    "rwlock",
    "rwlock.lock",
    "penstock-state.db",
    "penstock-state.db-wal",
    "penstock",
    "penstock-kept",
)
DIRECTORIES = ("tmp", "cache", "cache/files", "cache/files/md5")


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "repo"
    made.mkdir()
    git(made, "init", "-q")
    init_repository(made, no_scm=False)
    return made


def write(root: Path) -> None:
    """Do what writes to all of them."""
    (root / "data").write_text("data")
    repo = DataRepository.open(root)
    try:
        with repository_lock(repo):
            add_path(repo, root / "data")
    finally:
        repo.close()


@pytest.mark.parametrize("name", TMP)
def test_a_link_where_only_programs_write(root: Path, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = root / ".dvc" / "tmp" / name
    link.unlink(missing_ok=True)
    link.symlink_to(victim)
    with pytest.raises(Invalid, match=rf"\.dvc/tmp/{name} is a symbolic link"):
        write(root)
    assert victim.read_text() == "precious"
    assert set(tmp_path.iterdir()) == {victim, root}


@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_directory_that_git_brought_as_a_link(root: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = root / ".dvc" / name
    shutil.rmtree(link, ignore_errors=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    git(root, "add", "--force", f".dvc/{name}")
    with pytest.raises(Invalid, match="which git brought"):
        write(root)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["tmp", "cache"])
def test_a_directory_that_its_user_put_on_another_disk(root: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / "disk"
    other.mkdir()
    link = root / ".dvc" / name
    shutil.rmtree(link, ignore_errors=True)
    link.symlink_to(other)
    write(root)
    assert (root / "data.dvc").exists()
    assert list(other.iterdir()) != []
