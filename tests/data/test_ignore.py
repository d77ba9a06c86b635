"""`.dvcignore` means what `.gitignore` would: git itself is the judge, on generated patterns and trees."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.data.files.ignore import IgnoreRules
from penstock.data.pointers.pointer import load_pointer
from penstock.data.repository import DataRepository
from penstock.data.verbs.adding import add_path
from penstock.data.verbs.checkout import checkout_output

from .conftest import write_files

_PIECES = st.one_of(
    st.sampled_from("abAé*?/!#\\ \t\r-][."),
    st.sampled_from(
        ["**", "***", "**/", "/**", "/**/", "*.b", "ab", "[ab]", "[!a]", "[^b]", "[a-b]", "[]a]", "[a-]"]
    ),
    st.sampled_from(
        ["[\\]a]", "[[:alpha:]]", "[[:digit:]a]", "[[:nope:]]", "[[:space:]]", "[[:a]", "[/]", "[b-a]"]
    ),
    st.sampled_from(["[é]", "[--/]", "[!]b]"]),
)
_LINES = st.lists(
    st.builds(
        lambda sign, pieces, end: sign + "".join(pieces) + end,
        st.sampled_from(["", "", "!", "\\!", "/"]),
        st.lists(_PIECES, min_size=1, max_size=5),
        st.sampled_from(["", "", "/", " ", "\\ ", "\r"]),
    ),
    min_size=1,
    max_size=4,
)
_NAMES = st.sampled_from(
    ["a", "b", "ab", "a.b", "A", "é", "-", "a b", "a ", "!a", "#a", "[a]", "*", "a\\", "1", "]"]
)
_PATHS = st.lists(st.lists(_NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("judge")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    yield root


def _judge(root: Path, paths: list[str]) -> set[str]:
    """Return which paths git ignores; a directory is told by the slash at its end."""
    done = subprocess.run(
        ["git", "-c", "core.excludesFile=/dev/null", "check-ignore", "-z", "--stdin", "--no-index"],
        cwd=root,
        input=b"\0".join(map(os.fsencode, paths)),
        capture_output=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}


def _compare(root: Path, files: dict[str, list[str]], paths: list[str]) -> None:
    """Write ignore files of both names and make the paths, then ask both about everything that is there."""
    for entry in os.scandir(root):
        if entry.name != ".git":
            shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)
    for path in paths:
        place = root / path
        if any(above.is_file() for above in place.parents):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_text("")
    for folder, lines in files.items():
        if (root / folder).is_dir():
            for name in (".gitignore", ".dvcignore"):
                (root / folder / name).write_bytes("\n".join(lines).encode())
    asked = sorted({part for path in paths for part in accumulate(path.split("/"), "{}/{}".format)})
    asked = [name for name in asked if os.path.lexists(root / name)]
    rules = IgnoreRules(str(root))
    ours = {name for name in asked if rules.is_ignored(str(root / name), (root / name).is_dir())}
    assert ours == _judge(root, asked), (files, asked)
    for name in asked:
        shown = rules.explain(str(root / name), (root / name).is_dir())
        assert (name in ours) <= bool(shown)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(outer=_LINES, inner=_LINES, paths=_PATHS)
def test_generated_patterns_mean_what_git_takes_them_for(
    tree: Path, outer: list[str], inner: list[str], paths: list[str]
) -> None:
    _compare(tree, {".": outer, "a": inner}, paths)


def test_written_patterns_mean_what_git_takes_them_for(tree: Path) -> None:
    paths = [
        "data/readme",
        "data/raw/d1/a.csv",
        "data/raw/d1/b",
        "data/raw/c.csv",
        "s/a",
        "s/b/c",
        "old ",
        "x#y",
    ]
    for lines in (
        ["data/raw/**", "!data/raw/**/", "!data/raw/**/*.csv"],
        ["*", "!s"],
        ["*", "!*/", "!*.csv"],
        ["/*", "!/data", "/data/*", "!/data/raw"],
        ["old\\ "],
        ["old\\"],
        ["data/r**/d1"],
        ["x#y", "#s"],
        ["\ufeffs"],
        ["s/\r"],
        ["/"],
        ["!"],
    ):
        _compare(tree, {".": lines}, paths)
    _compare(tree, {".": ["*.csv"], "data": ["!a.csv", "raw/c.csv"], "data/raw": ["!*.csv"]}, paths)


def test_files_that_patterns_take_back_are_tracked_and_come_back(repo: DataRepository) -> None:
    data = write_files(repo.root / "data", {"raw/d1/a.csv": "1", "raw/d1/b": "2", "readme": "r"})
    write_files(repo.root, {".dvcignore": "data/raw/**\n!data/raw/**/\n!data/raw/**/*.csv\n"})
    added = add_path(repo, data)
    assert added.hash.nfiles == 2
    shutil.rmtree(data)
    checkout_output(repo, load_pointer(repo, added.pointer).outputs[0])
    assert sorted(str(one.relative_to(data)) for one in data.rglob("*") if one.is_file()) == [
        "raw/d1/a.csv",
        "readme",
    ]


def test_a_directory_that_is_taken_back_can_be_added(repo: DataRepository) -> None:
    write_files(repo.root, {".dvcignore": "*\n!s\n", "s/a": "1"})
    assert add_path(repo, repo.root / "s").hash.nfiles == 0  # git ignores what is in it, too
    assert repo.emptied == [repo.root / "s"]  # which the user is told
    write_files(repo.root, {".dvcignore": "*\n!s\n!s/**\n"})
    again = DataRepository.open(repo.root)
    assert add_path(again, repo.root / "s").hash.nfiles == 1
    again.close()
