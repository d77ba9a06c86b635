"""What git ignores is passed over in the search for pointers, by plain patterns and by git's own word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.data.configuration.config import Config
from penstock.data.pointers.metafiles import find_pointer_files
from penstock.data.repository import DataRepository

from .conftest import write_files

IGNORED = {
    "venv": "venv/x.dvc",
    "/venv": "venv/x.dvc",
    "venv/": "venv/deep/x.dvc",
    "/a/b/": "a/b/x.dvc",
    "a/b": "a/b/x.dvc",
    "*.old": "a/b.old/x.dvc",
    "**/tmp": "a/tmp/x.dvc",
    "x[0-9].dvc": "a/x1.dvc",
    "*\n!*/\n!keep*\n!.git*": "a/x.dvc",
}
SEEN = {
    "/venv": "a/venv/x.dvc",
    "x/": "x.dvc",
    "x": "x.dvc",
    "# venv": "venv/x.dvc",
    "venv\n!venv": "venv/x.dvc",
    "*.dv": "x.dvc",
}


def found(repo: DataRepository, files: dict[str, str | bytes]) -> list[str]:
    write_files(repo.root, files)
    return [repo.relative(path) for path in find_pointer_files(repo)]


@pytest.mark.parametrize("patterns", IGNORED)
def test_it_is_passed_over(repo: DataRepository, patterns: str) -> None:
    assert found(repo, {".gitignore": patterns + "\n", IGNORED[patterns]: "", "keep.dvc": ""}) == ["keep.dvc"]


@pytest.mark.parametrize("patterns", SEEN)
def test_it_counts(repo: DataRepository, patterns: str) -> None:
    assert found(repo, {".gitignore": patterns + "\n", SEEN[patterns]: ""}) == [SEEN[patterns]]


def test_patterns_of_inner_and_outer_directories(repo: DataRepository) -> None:
    files: dict[str, str | bytes] = {
        "sub/.gitignore": "venv\n",
        "sub/a/venv/x.dvc": "",
        "venv/x.dvc": "",
        ".git/info/exclude": "e\n",
        "e/x.dvc": "",
        "sub/b/.gitignore": "!venv\n",
        "sub/b/venv/x.dvc": "",
    }
    assert found(repo, files) == ["sub/b/venv/x.dvc", "venv/x.dvc"]


def test_without_git_all_count(repo: DataRepository) -> None:
    alone = replace(repo, config=Config({"core": {"no_scm": "true"}}))
    assert found(alone, {".gitignore": "venv\n", "venv/x.dvc": ""}) == ["venv/x.dvc"]
