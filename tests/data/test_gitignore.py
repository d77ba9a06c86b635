"""What is tracked is ignored by git, whatever its name, and nothing else is; git itself is asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from penstock.data.pointers.pointer import load_pointer, pointer_path
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path, remove_pointer

NAMES = [
    "plain",
    "trail ",
    "two  ",
    " lead",
    "cr\r",
    "mid\rdle",
    "tab\t",
    "nel\x85x",
    "a\\ ",
    "back\\",
    "[z]",
]


def is_ignored(repo: DataRepository, path: Path) -> bool:
    done = subprocess.run(["git", "check-ignore", "-q", "--", path.name], cwd=repo.root, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_git_ignores_what_is_added_until_it_is_removed(repo: DataRepository, name: str) -> None:
    path = repo.root / name
    path.write_text("1")
    (repo.root / ".gitignore").write_bytes(b"/other\r\n# \xff\n")
    add_path(repo, path)
    assert is_ignored(repo, path)
    for stripped in {name.strip(), name.split("\r", maxsplit=1)[0]} - {name}:
        assert not is_ignored(repo, repo.root / stripped)
    lines = (repo.root / ".gitignore").read_bytes().split(b"\n")
    assert add_path(repo, path).changed == ()
    assert len(lines) == 4
    remove_pointer(repo, load_pointer(repo, pointer_path(path)))
    assert (repo.root / ".gitignore").read_bytes() == b"/other\r\n# \xff\n"


def test_a_file_with_no_other_entry_goes(repo: DataRepository) -> None:
    (repo.root / "trail ").write_text("1")
    add_path(repo, repo.root / "trail ")
    remove_pointer(repo, load_pointer(repo, repo.root / "trail .dvc"))
    assert not (repo.root / ".gitignore").exists()


def test_a_name_of_several_lines_gets_no_entry_and_is_noted(repo: DataRepository) -> None:
    path = repo.root / "new\nline"
    path.write_text("1")
    add_path(repo, path)
    assert not (repo.root / ".gitignore").exists()
    assert repo.not_ignored == [path]
