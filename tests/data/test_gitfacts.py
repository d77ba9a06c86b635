"""What is read from git's files agrees with git, or is left to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from penstock.data.git.facts import is_ignored, is_tracked


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "d").mkdir()
    for name in ("a", "d/b", "other"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("version", ["2", "4"])
def test_a_tracked_path_is_never_called_untracked(tree: Path, version: str) -> None:
    git(tree, "update-index", "--index-version", version)
    git(tree, "add", "a", "d/b")
    for name in ("a", "d", "d/b"):
        assert is_tracked(str(tree), name) is None
    assert is_tracked(str(tree), "other") is (False if version == "2" else None)


def test_without_an_index_nothing_is_tracked(tree: Path) -> None:
    assert is_tracked(str(tree), "a") is False


@pytest.mark.parametrize("text", ["", "# c\n\n/a\n", "/a", "/d\n", "/d/b\n", "/ab\n", "/\u00e9\n/a\n"])
def test_plain_patterns_are_decided_as_git_does(tree: Path, text: str) -> None:
    (tree / ".gitignore").write_text(text)
    for name in ("a", "d/b", "other"):
        expected = bool(git(tree, "check-ignore", "--no-index", "--", name))
        assert is_ignored(str(tree), name) is expected


def test_an_inner_file_speaks_of_its_own_directory(tree: Path) -> None:
    (tree / "d" / ".gitignore").write_text("/b\n")
    assert is_ignored(str(tree), "d/b") is True
    assert is_ignored(str(tree), "b") is False


def test_wildcards_that_speak_of_single_names_are_decided_as_git_does(tree: Path) -> None:
    names = ("a", "d/b", "other", "d/x1.pyc", "__pycache__/y", "o1", "o12", "A", "d/e/f", "x.py", ".h")
    patterns = ["*.py[co]", "__pycache__/", "/o[0-9]", "o?", "d/*", "d/", "*", "/*.py", "e", "d/e/", "[A-Z]", "*.bin",
                ".*", "d/x*.pyc", "/other/", "a/", "x.p?", "[z-a]", "o[0-9]*", "*h", "/d/*/f"]  # fmt: skip
    undecided = set()
    for text in patterns:
        (tree / ".gitignore").write_text(f"# c\n{text}\n")
        for name in names:
            found = is_ignored(str(tree), name)
            if found is None:
                undecided.add((text, name))
                continue
            assert found is bool(git(tree, "check-ignore", "--no-index", "--", name)), (text, name)
    assert undecided == {("/other/", "other"), ("a/", "a"), *(("[z-a]", name) for name in names)}


def test_everything_else_is_left_to_git(tree: Path) -> None:
    for text in (
        "/a/\n",
        "/a \n",
        "!/a\n",
        "/a\\#\n",
        "/a\r\n",
        "**/a\n",
        "[!b]\n",
        "[^b]\n",
        "[\n",
        "a/**\n",
        "[[:alpha:]]\n",
    ):
        (tree / ".gitignore").write_text(text)
        assert is_ignored(str(tree), "a") is None, text


def test_configured_excludes_and_worktrees_are_left_to_git(tree: Path) -> None:
    git(tree, "config", "core.excludesFile", "x")
    assert is_ignored(str(tree), "a") is None
    (tree / "d" / ".git").write_text("gitdir: ../.git")
    assert is_tracked(str(tree / "d"), "b") is None
