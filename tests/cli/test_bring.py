"""A CI run in a fresh clone has its data from where they are: imports from their source, the rest from its remote."""

from __future__ import annotations

import shutil

import pytest

from .conftest import Desk


@pytest.fixture
def clone(desk: Desk) -> Desk:
    """A clone of a repository that imports `lex/words` of another one by a relative address; all is pushed."""
    source = desk.beside("source")
    source.put({"words/a": "first"})
    source.run("add", "words")
    source.run("remote", "add", "-d", "r", str(desk.root.with_name("source-store")))
    source.run("push")
    source.commit_all()
    desk.put({"raw.csv": "1"})
    desk.run("add", "raw.csv")
    desk.run("import", "../source", "words", "-o", "lex")
    desk.run("remote", "add", "-d", "r", str(desk.root.with_name("store")))
    desk.run("push")
    desk.run("stage", "add", "-n", "count", "-d", "lex", "-o", "n.txt", "wc -c < lex/a > n.txt")
    desk.run("repro")
    desk.commit_all()
    shutil.rmtree(source.root / ".dvc/cache")
    source.put({"words/a": "second"})
    source.run("add", "words")
    source.run("push")
    source.commit_all()
    made = Desk(desk.root.with_name("clone"), desk.home)
    desk.git("clone", "-q", str(desk.root), str(made.root))
    return made


def data_step(desk: Desk, *, passed: bool = True) -> str:
    report = desk.json("ci", "run", code=1)
    step = report["steps"][0]
    assert (step["name"], step["status"]) == ("data", "passed" if passed else "failed"), step
    return " ".join([step["sentence"], *step["details"]])


def test_an_import_comes_from_its_source_at_the_locked_commit(clone: Desk) -> None:
    shutil.rmtree(clone.root.with_name("store"))
    assert "raw.csv is not in the cache, and the remote 'r' (" in data_step(clone, passed=False)
    clone.put({"raw.csv": "1"})
    clone.run("commit", "-f", "raw.csv.dvc")
    assert "2 tracked paths in place, 0 objects fetched; to be made again: n.txt" in data_step(clone)
    assert clone.git("status", "--porcelain") == ""
    clone.run("checkout", "lex")
    assert (clone.root / "lex/a").read_text() == "first"


def test_restore_brings_an_import_from_its_source(clone: Desk) -> None:
    told = clone.json("restore", "HEAD", "--into", "../restored", code=1)
    assert (clone.root.with_name("restored") / "lex/a").read_text() == "first"
    store = clone.root.with_name("store")
    assert [one["what"] for one in told["missing"]] == [
        f"n.txt is neither in the cache nor on the remote 'r' ({store})"
    ]


def test_restore_names_the_import_whose_source_is_gone_and_brings_the_rest(clone: Desk) -> None:
    clone.root.with_name("source").rename(clone.root.with_name("moved"))
    told = clone.json("restore", "HEAD", "--into", "../restored", code=1)
    assert told["missing"][0]["what"].startswith("lex.dvc: ")
    assert "correct `repo: url:` in lex.dvc" in told["missing"][0]["hint"]
    assert (clone.root.with_name("restored") / "raw.csv").read_text() == "1"


def test_an_import_whose_source_is_gone_is_told_so_and_no_push_is_proposed(clone: Desk) -> None:
    clone.root.with_name("source").rename(clone.root.with_name("moved"))
    told = data_step(clone, passed=False)
    assert "lex.dvc: " in told
    assert "correct `repo: url:` in lex.dvc" in told
    assert "penstock push" not in told


def test_what_has_a_remote_of_its_own_comes_from_there(desk: Desk) -> None:
    desk.put({"raw.csv": "1", "own.csv": "2"})
    desk.run("remote", "add", "-d", "r", str(desk.root.with_name("store")))
    desk.run("remote", "add", "other", str(desk.root.with_name("other-store")))
    desk.run("add", "raw.csv", "own.csv")
    pointer = desk.root / "own.csv.dvc"
    pointer.write_text(pointer.read_text().rstrip() + "\n  remote: other\n")
    desk.run("push")
    desk.commit_all()
    shutil.rmtree(desk.root / ".dvc/cache")
    assert "2 tracked paths in place, 2 objects fetched" in data_step(desk)


def test_an_import_that_was_never_made_comes_from_its_revision_and_is_told_as_undetermined(
    clone: Desk,
) -> None:
    source = clone.root.with_name("source")
    clone.git("-C", str(source), "tag", "v1", "HEAD~1")
    clone.run("import", "../source", "words", "-o", "tagged", "--rev", "v1", "--no-exec")
    clone.run("import", "../source", "words", "-o", "latest", "--no-exec")
    clone.commit_all()
    (source / "words/a").write_text("not committed")
    told = clone.json("restore", "HEAD", "--into", "../restored", code=1)
    restored = clone.root.with_name("restored")
    assert (restored / "tagged/a").read_text() == "first"
    assert (restored / "latest/a").read_text() == "second"
    assert told["notes"] == [
        "latest.dvc does not record a commit: latest is what the default branch of ../source has now",
        "tagged.dvc does not record a commit: tagged is what v1 of ../source has now",
    ]
    assert "latest is what the default branch of ../source has now" in data_step(clone)
