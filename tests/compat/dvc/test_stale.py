"""What another commit brought goes with it, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.tools import Tool, git

FILES = {"one.txt": "1", "inner/two.txt": "2"}


@pytest.fixture
def branched(tmp_path: Path, penstock: Tool) -> Path:
    """Branch `with` tracks `data/` and `file.txt`, branch `main` nothing; `with` is checked out."""
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    penstock(root, "init")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "init")
    git(root, "checkout", "-q", "-b", "with")
    for name, text in FILES.items():
        (root / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "data" / name).write_text(text)
    (root / "file.txt").write_text("file")
    penstock(root, "add", "data", "file.txt")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "data")
    return root


def test_outputs_of_another_commit_are_removed_and_come_back(branched: Path, penstock: Tool) -> None:
    git(branched, "checkout", "-q", "main")
    done = penstock.json(branched, "checkout")
    assert sorted(done["deleted"]) == ["data", "file.txt"]
    assert not (branched / "data").exists() and not (branched / "file.txt").exists()
    git(branched, "checkout", "-q", "with")
    penstock(branched, "checkout")
    assert {name: (branched / "data" / name).read_text() for name in FILES} == FILES


@pytest.mark.parametrize(
    "disturb",
    [
        lambda root: (root / "data" / "one.txt").write_text("changed"),
        lambda root: (root / "data" / "mine.txt").write_text("mine"),
        lambda root: next((root / ".dvc/cache/files").rglob("*.dir")).unlink(),
    ],
    ids=["changed", "a file of the user's", "not in the cache"],
)
def test_what_could_not_be_brought_back_stays(
    branched: Path, penstock: Tool, disturb: Callable[[Path], object]
) -> None:
    git(branched, "checkout", "-q", "main")
    disturb(branched)
    penstock(branched, "checkout")
    assert (branched / "data" / "one.txt").exists()
    assert not (branched / "file.txt").exists()


def test_what_git_tracks_now_stays(branched: Path, penstock: Tool) -> None:
    git(branched, "checkout", "-q", "main")
    (branched / ".gitignore").unlink(missing_ok=True)
    git(branched, "add", "-f", "file.txt")
    penstock(branched, "checkout")
    assert (branched / "file.txt").read_text() == "file"


def test_what_no_commit_declares_stays(branched: Path, penstock: Tool) -> None:
    (branched / "never.txt").write_text("never committed")
    penstock(branched, "add", "never.txt")
    (branched / "never.txt.dvc").unlink()
    penstock(branched, "checkout")
    assert (branched / "never.txt").exists()


def test_what_is_no_longer_tracked_on_purpose_stays(branched: Path, penstock: Tool) -> None:
    penstock(branched, "remove", "file.txt.dvc")
    penstock(branched, "checkout")
    assert (branched / "file.txt").read_text() == "file"


def test_a_checkout_of_one_target_removes_nothing_else(branched: Path, penstock: Tool) -> None:
    git(branched, "checkout", "-q", "main")
    git(branched, "checkout", "-q", "with", "--", "file.txt.dvc")
    penstock(branched, "checkout", "file.txt.dvc")
    assert (branched / "data" / "one.txt").exists()


def test_a_file_that_the_user_put_beside_them_stays(branched: Path, penstock: Tool) -> None:
    (branched / ".dvcignore").write_text("*.log\n")
    (branched / "data" / "own.log").write_text("log")
    git(branched, "checkout", "-q", "main")
    penstock(branched, "checkout")
    assert (branched / "data" / "own.log").read_text() == "log"
    assert not (branched / "data" / "one.txt").exists()
