"""One tool writes, the other reads: status, diff, checkout, push and pull, both ways."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from compat.dvc.samples import odd_directory, plain_directory
from compat.dvc.tools import Tool, git, listing

pytestmark = [pytest.mark.slow, pytest.mark.dvc("remembered")]


@pytest.fixture
def repo(make_repo, sides: tuple[Tool, Tool]) -> Path:  # type: ignore[no-untyped-def]
    writer, _ = sides
    root = make_repo("repo", writer)
    plain_directory(root / "data")
    odd_directory(root / "more" / "odd")
    (root / "model.bin").write_bytes(bytes(range(256)) * 100)
    writer(root, "add", "data", "more/odd", "model.bin")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "data")
    return root


def same(writer: Tool, reader: Tool, root: Path, *arguments: str) -> object:
    first, second = writer.json(root, *arguments), reader.json(root, *arguments)
    assert first == second
    return first


def test_status_and_diff_agree_on_every_change(repo: Path, sides: tuple[Tool, Tool]) -> None:
    assert same(*sides, repo, "status") == {}
    assert same(*sides, repo, "diff") == {}
    (repo / "data" / "new").write_text("new")
    (repo / "data" / "a.txt").write_text("changed")
    (repo / "data" / "sub.txt").rename(repo / "data" / "moved.txt")
    (repo / "model.bin").unlink()
    assert same(*sides, repo, "status")
    assert same(*sides, repo, "diff")
    shutil.rmtree(repo / "more" / "odd")
    assert same(*sides, repo, "status")
    assert same(*sides, repo, "diff")


def test_status_agrees_in_a_subdirectory(repo: Path, sides: tuple[Tool, Tool]) -> None:
    (repo / "data" / "new").write_text("new")
    assert same(*sides, repo / "more", "status")


def test_status_agrees_on_a_missing_cache(repo: Path, sides: tuple[Tool, Tool]) -> None:
    shutil.rmtree(repo / ".dvc" / "cache")
    assert same(*sides, repo, "status")


def test_diff_of_two_commits_agrees(repo: Path, sides: tuple[Tool, Tool]) -> None:
    (repo / "data" / "a.txt").write_text("changed")
    (repo / "data" / "zero").unlink()
    sides[0](repo, "add", "data")
    git(repo, "commit", "-qam", "second")
    assert same(*sides, repo, "diff", "HEAD~1", "HEAD")
    assert same(*sides, repo, "diff", "HEAD~1")


def test_the_other_one_checks_out_the_same_files(repo: Path, sides: tuple[Tool, Tool]) -> None:
    _, reader = sides
    before = {name: data for name, (data, _) in listing(repo / "data").items()}
    odd = {name: data for name, (data, _) in listing(repo / "more").items()}
    for name in ("data", "more/odd"):
        shutil.rmtree(repo / name)
    (repo / "model.bin").unlink()
    reader(repo, "checkout")
    assert {name: data for name, (data, _) in listing(repo / "data").items()} == before
    assert {name: data for name, (data, _) in listing(repo / "more").items()} == odd
    assert same(*sides, repo, "status") == {}


def test_an_executable_file_stays_executable(make_repo, sides: tuple[Tool, Tool]) -> None:  # type: ignore[no-untyped-def]
    writer, reader = sides
    root = make_repo("repo", writer)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    writer(root, "add", "run.sh")
    (root / "run.sh").unlink()
    reader(root, "checkout")
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o744


def test_going_back_to_a_commit(repo: Path, sides: tuple[Tool, Tool]) -> None:
    writer, reader = sides
    old = listing(repo / "data")
    (repo / "data" / "a.txt").write_text("changed")
    (repo / "data" / "added").write_text("added")
    writer(repo, "add", "data")
    git(repo, "commit", "-qam", "second")
    git(repo, "checkout", "-q", "HEAD~1")
    reader(repo, "checkout")
    assert {k: v for k, (v, _) in listing(repo / "data").items()} == {k: v for k, (v, _) in old.items()}
    assert same(*sides, repo, "status") == {}


def share(repo: Path, sides: tuple[Tool, Tool], clone: Path) -> None:
    """Push with one tool and pull into a clone with the other; both find nothing left to do."""
    writer, reader = sides
    writer(repo, "push")
    assert reader.json(repo, "status", "-c") == {}
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "remote")
    git(repo.parent, "clone", "-q", str(repo), str(clone))
    if (repo / ".dvc" / "config.local").exists():
        shutil.copy(repo / ".dvc" / "config.local", clone / ".dvc" / "config.local")
    reader(clone, "pull")
    for name in ("data", "more"):
        ours = {key: data for key, (data, _) in listing(clone / name).items()}
        assert ours == {key: data for key, (data, _) in listing(repo / name).items()}
    assert (clone / "model.bin").read_bytes() == (repo / "model.bin").read_bytes()
    assert same(*sides, clone, "status") == {}
    assert "up to date" in reader(clone, "push").lower()


@pytest.mark.dvc("real")
def test_pushed_by_one_pulled_by_the_other(repo: Path, sides: tuple[Tool, Tool], tmp_path: Path) -> None:
    writer, _ = sides
    writer(repo, "remote", "add", "-d", "store", str(tmp_path / "store"))
    share(repo, sides, tmp_path / "clone")
    objects = listing(tmp_path / "store" / "files")
    assert all(mode == 0o444 for _, mode in objects.values())


@pytest.mark.dvc("real")
def test_pushed_by_one_pulled_by_the_other_over_s3(  # type: ignore[no-untyped-def]
    repo: Path, sides: tuple[Tool, Tool], tmp_path: Path, s3_server
) -> None:
    writer, _ = sides
    writer(repo, "remote", "add", "-d", "store", f"s3://{s3_server.make_bucket()}/pre/fix")
    for key, value in s3_server.options().items():
        writer(repo, "remote", "modify", "--local", "store", key, value)
    share(repo, sides, tmp_path / "clone")


def test_cloud_status_agrees(repo: Path, sides: tuple[Tool, Tool], tmp_path: Path) -> None:
    sides[0](repo, "remote", "add", "-d", "store", str(tmp_path / "store"))
    assert same(*sides, repo, "status", "-c")
    sides[0](repo, "push")
    shutil.rmtree(repo / ".dvc" / "cache")
    assert same(*sides, repo, "status", "-c", "model.bin")


def test_removing_agrees(repo: Path, sides: tuple[Tool, Tool]) -> None:
    writer, reader = sides
    writer(repo, "remove", "model.bin.dvc")
    assert "/model.bin" not in (repo / ".gitignore").read_text()
    assert not (repo / "model.bin.dvc").exists()
    assert (repo / "model.bin").exists()
    assert same(writer, reader, repo, "status") == {}


@pytest.mark.dvc("real")
def test_the_lock_is_the_one_dvc_honours(repo: Path, dvc: Tool) -> None:
    """That Penstock honours it too, and waits, is shown in tests/data/test_lock.py."""
    with (repo / ".dvc" / "tmp" / "lock").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (repo / "extra").write_text("x")
        dvc(repo, "add", "extra", ok=False)
