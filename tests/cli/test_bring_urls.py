"""What was imported from a URL and not downloaded is in CI runs, restored trees and reproductions all the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.web import WebServer, run_web

from .conftest import Desk, make_desk

NAMES = ("web.csv", "beside.csv", "within.csv")


@pytest.fixture
def web(desk: Desk) -> Iterator[WebServer]:
    with run_web(desk.root.with_name("web")) as server:
        yield server


@pytest.fixture
def promised(desk: Desk, web: WebServer) -> Desk:
    """Three imports without a download: of a web server, of a file beside the repository and of one in it."""
    (web.root / "a.csv").write_text("web\n")
    desk.root.with_name("b.csv").write_text("beside\n")
    desk.put({"sources/c.csv": "within\n"})
    for source, name in zip((f"{web.address}/a.csv", "../b.csv", "sources/c.csv"), NAMES, strict=True):
        desk.run("import-url", source, name, "--no-download")
    words = [word for name in NAMES for word in ("-d", name)]
    desk.run("stage", "add", "-n", "join", *words, "-o", "all.txt", f"cat {' '.join(NAMES)} > all.txt")
    desk.commit_all()
    return desk


def steps_of(desk: Desk, *words: str) -> dict[str, tuple[str, str]]:
    report = desk.json("ci", "run", *words, code=1)
    return {
        one["name"]: (one["status"], " ".join([one["sentence"], *one["details"]])) for one in report["steps"]
    }


def test_a_ci_run_has_them_and_leaves_the_pointers_as_they_are(promised: Desk) -> None:
    promised.put({"sources/c.csv": "not committed\n"})
    steps = steps_of(promised)
    assert steps["data"] == ("passed", "3 tracked paths in place, 3 objects fetched")
    assert steps["pipeline"][0] == "passed", steps
    promised.git("checkout", "sources/c.csv")
    assert promised.git("status", "--porcelain") == ""
    assert "files differ from the commit" not in str(steps)


def test_restore_has_them_and_leaves_the_pointers_as_they_are(promised: Desk) -> None:
    told = promised.json("restore", "HEAD", "--into", "../restored")
    restored = promised.root.with_name("restored")
    assert [(restored / name).read_text() for name in NAMES] == ["web\n", "beside\n", "within\n"]
    assert (told["missing"], told["notes"]) == ([], [])
    assert promised.git("-C", str(restored), "status", "--porcelain") == ""
    assert promised.git("status", "--porcelain") == ""


def test_a_source_that_changed_or_is_gone_is_told_by_its_path(promised: Desk, web: WebServer) -> None:
    (web.root / "a.csv").write_text("another content\n")
    promised.root.with_name("b.csv").unlink()
    told = promised.json("restore", "HEAD", "--into", "../restored", code=1)
    said = {one["what"]: one["hint"] for one in told["missing"]}
    assert (
        said[f"web.csv.dvc: {web.address}/a.csv has changed since it was imported"]
        == "penstock update web.csv.dvc"
    )
    assert any(one.startswith("beside.csv.dvc: ../b.csv does not exist") for one in said), said
    assert (promised.root.with_name("restored") / "within.csv").read_text() == "within\n"
    status, sentence = steps_of(promised)["data"]
    assert status == "failed"
    assert "web.csv.dvc: " in sentence
    assert "beside.csv.dvc: " in sentence


def test_what_was_never_looked_at_is_taken_as_it_is_now_and_told_as_undetermined(
    promised: Desk, web: WebServer
) -> None:
    promised.run("import-url", f"{web.address}/a.csv", "unseen.csv", "--no-exec")
    promised.commit_all()
    note = (
        f"unseen.csv.dvc does not record what its source held: unseen.csv is what {web.address}/a.csv has now"
    )
    told = promised.json("restore", "HEAD", "--into", "../restored")
    assert (promised.root.with_name("restored") / "unseen.csv").read_text() == "web\n"
    assert told["notes"] == [note]
    assert note in steps_of(promised)["data"][1]


def test_a_reproduction_that_pulls_has_them(promised: Desk) -> None:
    promised.run("repro", "--pull")
    assert (promised.root / "all.txt").read_text() == "web\nbeside\nwithin\n"


def test_a_source_of_the_same_tree_is_what_the_commit_has_and_not_what_lies_there_now(desk: Desk) -> None:
    desk.put({"ins/s": "one"})
    desk.run("add", "ins")
    desk.run("import-url", "--no-exec", "ins/s", "loc2")
    desk.put({"loc2": "one"})
    desk.run("import-url", "--no-exec", "loc2", "loc1")
    desk.run("import-url", "--no-download", "ins/s", "noted")
    desk.commit_all()
    desk.put({"ins/s": "two", "loc2": "three"})
    restored = desk.root.with_name("restored")
    told = desk.json("restore", "HEAD", "--into", "../restored")
    names = ("ins/s", "loc1", "loc2", "noted")
    assert [(restored / name).read_text() for name in names] == ["one"] * 4
    assert told["missing"] == []


def test_a_source_of_the_same_tree_that_is_only_in_the_cache_is_taken_from_there(desk: Desk) -> None:
    desk.put({"ins/s": "one"})
    desk.run("add", "ins")
    desk.run("import-url", "--no-download", "ins/s", "noted")
    desk.commit_all()
    shutil.rmtree(desk.root / "ins")
    told = desk.json("restore", "HEAD", "--into", "../restored")
    assert (desk.root.with_name("restored") / "noted").read_text() == "one"
    assert told["missing"] == []


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_source_of_the_same_tree_that_the_commit_has_not_is_not_taken_from_elsewhere(
    desk: Desk, is_absolute: bool
) -> None:
    desk.put({"mine/s": "never committed", ".gitignore": "/mine\n"})
    desk.run("import-url", "--no-exec", "mine/s", "unseen")
    if is_absolute:
        pointer = desk.root / "unseen.dvc"
        pointer.write_text(pointer.read_text().replace("path: mine/s", f"path: {desk.root}/mine/s"))
    desk.commit_all()
    told = desk.json("restore", "HEAD", "--into", "../restored", code=1)
    assert ["mine/s does not exist" in one["what"] for one in told["missing"]] == [True]
    assert not (desk.root.with_name("restored") / "unseen").exists()


def test_a_source_in_the_repository_beside_the_project_is_what_the_commit_has(tmp_path: Path) -> None:
    desk = make_desk(tmp_path / "repo", tmp_path / "home")
    desk.put({"beside.csv": "one", "inner/.keep": ""})
    desk.run("init", "--subdir", cwd="inner")
    desk.run("import-url", "--no-exec", "../beside.csv", "b.csv", cwd="inner")
    desk.commit_all()
    desk.put({"beside.csv": "two"})
    desk.run("restore", "HEAD", "--into", "../../restored", cwd="inner")
    assert (tmp_path / "restored" / "inner" / "b.csv").read_text() == "one"


def test_a_source_out_of_reach_fails_only_where_a_stage_reads_what_it_gives(
    promised: Desk, web: WebServer
) -> None:
    (web.root / "spare.csv").write_text("spare\n")
    promised.run("import-url", f"{web.address}/spare.csv", "spare.csv", "--no-download")
    promised.commit_all()
    (web.root / "spare.csv").unlink()
    status, sentence = steps_of(promised)["data"]
    assert status == "passed"
    assert sentence.startswith("3 tracked paths in place, 3 objects fetched")
    assert "spare.csv is absent, and no stage reads it: spare.csv.dvc: " in sentence
    told = promised.json("restore", "HEAD", "--into", "../restored", code=1)
    assert [one["what"].partition(": ")[0] for one in told["missing"]] == ["spare.csv.dvc"]
    (web.root / "a.csv").unlink()
    status, sentence = steps_of(promised)["data"]
    assert status == "failed"
    assert "web.csv.dvc: " in sentence
