"""What `import` takes and refuses, and where it may be called."""

from __future__ import annotations

import shutil

import pytest

from .conftest import Desk


def test_a_pointer_is_not_data(desk: Desk) -> None:
    source = desk.beside("source")
    source.put({"data": "1"})
    source.run("add", "data")
    source.commit_all()
    for words in (("import", "../source", "data.dvc"), ("import-url", "../source/data.dvc")):
        assert "describes data" in desk.error(*words)
    assert "describes data" in desk.error("import", "../source", "data", "-o", "other.dvc")
    assert [path.name for path in desk.root.iterdir() if path.name.startswith(("data", "other"))] == []


@pytest.fixture
def nested(desk: Desk) -> Desk:
    """A repository with another one in its directory `sub`; each tracks something."""
    desk.put({"data/a": "a", "sub/data/b": "b", "sub/git.txt": "git"})
    desk.run("init", "--subdir", cwd="sub")
    desk.run("add", "data", cwd="sub")
    desk.run("add", "data")
    desk.commit_all()
    return desk


def paths(entries: list[dict[str, object]]) -> list[object]:
    return [entry["path"] for entry in entries]


def test_a_repository_within_a_repository(nested: Desk) -> None:
    other = nested.beside("other")
    source = "../repo"
    assert paths(other.json("list", source, "sub/data", "--rev", "HEAD")) == ["b"]
    assert "data" in paths(other.json("list", source, "sub"))
    other.run("get", source, "sub/data/b", "--rev", "HEAD")
    assert (other.root / "b").read_text() == "b"
    other.run("import", source, "sub/data", "-o", "imported")
    assert (other.root / "imported/b").read_text() == "b"
    shutil.rmtree(other.root / "imported")
    shutil.rmtree(other.root / ".dvc/cache")
    other.run("pull")
    assert other.json("status") == {}
    assert "name the repository" in other.error("import", "../repo/sub", "data", "-o", "x")


def test_a_directory_of_a_repository_stands_for_it(nested: Desk) -> None:
    assert paths(nested.json("list", ".", cwd="data")) == ["a"]
    assert paths(nested.json("list", ".", "-R", cwd="sub")) == paths(nested.json("list", "sub", "-R"))
    nested.run("get", ".", "a", "-o", "../got", cwd="data")
    assert (nested.root / "got").read_text() == "a"
    assert "no repository of git, DVC" in nested.error("list", "..")
    nested.run("config", "core.no_scm", "true")
    shutil.rmtree(nested.root / ".git")
    other = nested.beside("other")
    assert "no repository of git: it has no revisions" in other.error("import", "../repo", "data")


def test_what_git_keeps_is_git_s(desk: Desk) -> None:
    desk.put(
        {
            "m.json": "{}",
            "dvc.yaml": "stages:\n  a:\n    cmd: echo '{}' > m.json\n    metrics:\n    - m.json:\n        cache: false\n",
        }
    )
    desk.run("repro")
    desk.commit_all()
    assert desk.json("list", ".", "--dvc-only", "-R") == []
    desk.run("get", ".", "m.json", "-o", "copy", "--rev", "HEAD")
    assert (desk.root / "copy").read_text() == "{}\n"
