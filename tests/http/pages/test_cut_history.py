"""The pages of tracked data where git's history is not all here: a shallow clone, and more commits than are looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from penstock.base.git import Git
from penstock.data.repository import DataRepository
from penstock.flows.tracked.timeline import COMMITS, read_history
from penstock.http.app import build_server_app
from penstock.processes.controller import ControllerLoop
from penstock.project.opening import open_server_project
from projects import Sample, rows

SHALLOW = "this clone is shallow; next: git fetch --unshallow"
LIMITED = f"only the newest {COMMITS} commits that changed tracked data are looked at"
POINTER = "outs:\n- md5: {number:032x}\n  size: 1\n  hash: md5\n  path: tick\n"


@pytest.fixture(scope="module")
def sample(released_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """raw.csv is changed once after it was begun, then two other files are added, a commit each."""
    sample = Sample.copy(released_root, tmp_path_factory.mktemp("cut") / "project")
    sample.write("data/raw.csv", rows(1300, 1))
    sample.add("data/raw.csv")
    sample.commit("More rows")
    for name in ("data/first.csv", "data/second.csv"):
        sample.write(name, name)
        sample.add(name)
        sample.commit(f"Add {name}")
    yield sample
    sample.close()


def clone(sample: Sample, into: Path, *arguments: str) -> Path:
    sample.git.run("clone", "--quiet", *arguments, f"file://{sample.root}", str(into))
    return into


def add_commits(root: Path, count: int) -> None:
    """Commit so many contents of one more tracked path."""
    git = Git(root)
    branch = git.run("symbolic-ref", "HEAD")
    lines: list[str] = []
    for number in range(count):
        text = POINTER.format(number=number)
        lines += [
            f"commit {branch}",
            f"committer Ada <a@b.example> {1_900_000_000 + number} +0000",
            "data 4",
            "Tick",
        ]
        lines += [f"from {branch}^0"] if not number else []
        lines += ["M 100644 inline tick.dvc", f"data {len(text)}", text]
    git.feed("\n".join(lines).encode(), "fast-import", "--quiet")
    git.run("reset", "--quiet", "--hard")


def client_of(root: Path, request: pytest.FixtureRequest) -> TestClient:
    project = open_server_project(root, {})
    request.addfinalizer(project.close)
    return TestClient(build_server_app(project, ControllerLoop(project)))


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


def rows_of(text: str) -> dict[str, str]:
    return {one.split('"')[0]: words_of(one.split("</tr>")[0]) for one in text.split('data-key="')[1:]}


def test_a_shallow_clone_does_not_say_that_all_began_with_the_commit_at_which_it_ends(
    sample: Sample, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    client = client_of(clone(sample, tmp_path / "shallow", "--depth", "2"), request)
    listed = client.get("/data").text
    assert f"What was tracked before is unknown: {SHALLOW}" in words_of(listed)
    found = rows_of(listed)
    assert "at least 1" in found["data/raw.csv"]
    assert " or before" in found["data/raw.csv"]
    assert "Ada" not in found["data/raw.csv"]
    assert "Add data/first.csv" not in found["data/raw.csv"]
    assert " or before" not in found["data/second.csv"]
    assert "Add data/second.csv" in found["data/second.csv"]
    page = words_of(client.get("/data/data/raw.csv").text)
    assert f"It is a file, in at least 1 version. What was before is unknown: {SHALLOW}." in page
    history = page.split(" History ")[1]
    assert " or before" in history
    assert "Add data/first.csv" not in history
    away = client.get("/data/data/gone.csv")
    assert away.status_code == 404
    assert f"data/gone.csv is not tracked, and whether it was before is unknown: {SHALLOW}" in words_of(
        away.text
    )
    asked = client.get(f"/data/data/raw.csv?old={sample.git.run('rev-parse', 'HEAD~3')}&new=HEAD")
    assert "is none of the known commits that changed it: " in words_of(asked.text.replace("&#39;", "'"))


def test_a_whole_clone_counts_all_versions(
    sample: Sample, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    client = client_of(clone(sample, tmp_path / "whole"), request)
    assert "unknown" not in words_of(client.get("/data").text)
    page = words_of(client.get("/data/data/raw.csv").text)
    assert "It is a file, in 2 versions so far." in page
    assert "or before" not in page
    assert "never was in git" in words_of(client.get("/data/data/gone.csv").text)


def test_a_branch_that_is_whole_is_not_cut_by_another_that_is_shallow(sample: Sample, tmp_path: Path) -> None:
    root = clone(sample, tmp_path / "clone", "--single-branch")
    git = sample.git
    alone = git.run("commit-tree", git.run("rev-parse", "HEAD^{tree}"), "-m", "Alone")
    other = git.run("commit-tree", git.run("rev-parse", "HEAD^{tree}"), "-p", alone, "-m", "Other")
    git.run("branch", "--force", "other", other)
    Git(root).run("fetch", "--quiet", "--depth", "1", "origin", "other")
    assert Git(root).is_shallow()
    with closing(DataRepository.open(root)) as repo:
        assert read_history(repo).cut == ""


def test_what_is_older_than_the_commits_that_are_looked_at_is_neither_new_nor_uncommitted(
    sample: Sample, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = clone(sample, tmp_path / "long")
    add_commits(root, COMMITS + 1)
    (root / "new").write_text("1")
    (root / "new.dvc").write_text(POINTER.format(number=1).replace("tick", "new"))
    client = client_of(root, request)
    listed = client.get("/data").text
    assert f"What was tracked before is unknown: {LIMITED}" in words_of(listed)
    found = rows_of(listed)
    assert "not committed" not in found["data/raw.csv"]
    assert "at least 1" in found["data/raw.csv"]
    assert "not committed" in found["new"]
    assert f"at least {COMMITS + 1}" in found["tick"]
    page = words_of(client.get("/data/data/raw.csv").text)
    assert f"It is a file, in at least 1 version. What was before is unknown: {LIMITED}." in page
    assert "No commit has it yet" not in page
    assert "No commit has it yet" in words_of(client.get("/data/new").text)


def test_history_is_not_cut_where_all_of_it_is_just_looked_at(sample: Sample, tmp_path: Path) -> None:
    root = clone(sample, tmp_path / "clone")
    with closing(DataRepository.open(root)) as repo:
        count = len({one.commit.id for one in read_history(repo).changes})
        assert read_history(repo, count).cut == ""
        fewer = read_history(repo, count - 1)
        assert fewer.cut == f"only the newest {count - 1} commits that changed tracked data are looked at"
        assert len({one.commit.id for one in fewer.changes}) == count - 1
