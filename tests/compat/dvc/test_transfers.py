"""Which objects `push`, `fetch`, `pull` and `status -c` are about, with every flag that narrows or widens it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.sides import Comparison, Scenario, Side, names
from compat.dvc.tools import Tool

pytestmark = pytest.mark.slow
PIPELINE = """\
stages:
  a:
    cmd: cp in mid
    deps: [in]
    outs: [mid]
  b:
    cmd: cp mid out
    deps: [mid]
    outs: [out]
  c:
    cmd: echo 33 > other
    outs: [other]
"""


def tracked(side: Side) -> None:
    side.put({"data/f0": "0", "data/f1": "1", "data/f2": "2", "data/sub/a": "a", "data/sub/b.csv": "b"})
    side("add", "data")


def without_cache(side: Side, *paths: str) -> None:
    shutil.rmtree(side.root / ".dvc/cache")
    for path in paths:
        place = side.root / path
        shutil.rmtree(place) if place.is_dir() else place.unlink()


def a_part_of_a_directory(side: Side) -> object:
    side.with_remote()
    tracked(side)
    side("push")
    without_cache(side, "data")
    side("pull", "data/sub")
    first = side.cached()
    side("fetch", "data/f1", "data/sub/a")
    return first, side.cached()


def what_lies_in_a_directory(side: Side) -> object:
    remote = side.with_remote()
    side.put({"d/x": "1", "d/e/y": "2", "z": "3"})
    side("add", "d/x", "d/e/y", "z")
    side("push", "-R", "d")
    pushed = names(remote)
    side("push")
    without_cache(side, "d/x", "d/e/y", "z")
    side("pull", "-R", "d")
    side.put({"d/x": "changed", "z": "changed too"})
    (side.root / "empty").mkdir()
    return (
        pushed,
        side.json("status", "-R", "d"),
        side("commit", "-f", "-R", "d").returncode,
        side("push", "-R", "empty").returncode,
        side.json("status", "-c", "-R", "d"),
    )


def what_a_pattern_names(side: Side) -> object:
    remote = side.with_remote()
    side.put({"a1": "1", "a2": "2", "b": "3"})
    side("add", "a1", "a2", "b")
    side("push", "--glob", "a*")
    side("push", "--glob", "no*")
    return names(remote)


def what_a_stage_depends_on(side: Side) -> object:
    remote = side.with_remote()
    side.put({"in": "1", "dvc.yaml": PIPELINE})
    side("add", "in")
    side("repro")
    side("push", "-d", "b")
    pushed = names(remote)
    for name in ("in", "mid", "out", "other"):
        (side.root / name).unlink()
    side("checkout", "-d", "b")
    side.put({"in": "changed"})
    return pushed, side.json("status", "-d", "b"), side.json("status", "b")


def records_of_runs(side: Side) -> object:
    remote = side.with_remote()
    side.put({"in": "1", "dvc.yaml": "stages:\n  a:\n    cmd: cp in out\n    deps: [in]\n    outs: [out]\n"})
    side("repro")
    side("push", "--run-cache")
    shutil.rmtree(side.root / ".dvc/cache")
    side("fetch", "--run-cache")
    return names(remote)


def what_belongs_on_another_remote(side: Side) -> object:
    remote, other = side.with_remote(), side.beside("other")
    side("remote", "add", "--local", "other", other)
    side.put({"x": "1", "y": "2"})
    side("add", "x", "y")
    pointer = side.root / "x.dvc"
    pointer.write_text(f"{pointer.read_text()}  remote: other\n")
    side("push", "-r", "store")
    named = names(remote), names(other)
    side("push")
    return named, names(other)


def what_is_never_pushed(side: Side) -> object:
    remote = side.with_remote()
    side.put({"x": "1"})
    side("add", "x")
    pointer = side.root / "x.dvc"
    pointer.write_text(f"{pointer.read_text()}  push: false\n")
    side("push")
    return names(remote), side.json("status", "-c")


def other_commits(side: Side) -> object:
    side.with_remote()
    for text in ("1", "2", "3"):
        side.put({"a": text})
        side("add", "a")
        side.commit_all(text)
    return side.json("status", "-c", "-A"), side("status", "-a").returncode == 0, side.text("status", "-c")


def only_small_files(side: Side) -> object:
    side.with_remote()
    side.put({"x": "1", "y": "2" * 100})
    side("add", "x", "y")
    side("push")
    shutil.rmtree(side.root / ".dvc/cache")
    side("fetch", "--max-size", "50")
    return side.cached()


def a_directory_that_is_nowhere(side: Side) -> object:
    side.with_remote()
    tracked(side)
    without_cache(side, "data")
    return side("pull").returncode, side("checkout", "--allow-missing").returncode


SCENARIOS: list[Scenario] = [
    a_part_of_a_directory,
    what_lies_in_a_directory,
    what_a_pattern_names,
    what_a_stage_depends_on,
    records_of_runs,
    what_belongs_on_another_remote,
    what_is_never_pushed,
    other_commits,
    only_small_files,
    a_directory_that_is_nowhere,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_do_the_same(compare: Comparison, scenario: Scenario) -> None:
    compare(scenario)


def test_a_pattern_finds_what_is_not_in_the_workspace(
    make_repo: Callable[[str, Tool], Path], penstock: Tool
) -> None:
    side = Side(penstock, make_repo("repo", penstock))
    side.with_remote()
    tracked(side)
    side("push")
    without_cache(side, "data")
    assert side("pull", "--glob", "data/**/*.csv").returncode == 0
    assert names(side.root / "data") == ["sub/b.csv"]
    assert len(side.cached()) == 2


def test_what_no_remote_has_is_named(make_repo: Callable[[str, Tool], Path], penstock: Tool) -> None:
    side = Side(penstock, make_repo("repo", penstock))
    remote = side.with_remote()
    side.put({"x": "1", "y": "2"})
    side("add", "x", "y")
    side("push")
    (remote / "files/md5/c4/ca4238a0b923820dcc509a6f75849b").unlink()
    without_cache(side, "x", "y")
    done = side("pull")
    assert done.returncode == 1
    assert "x is not in remote 'store'" in done.stderr
    assert side("pull", "--allow-missing").returncode == 0
    assert (side.root / "y").read_text() == "2"
    assert not (side.root / "x").exists()


def test_what_cannot_be_pushed_does_not_stop_the_rest(
    make_repo: Callable[[str, Tool], Path], penstock: Tool
) -> None:
    side = Side(penstock, make_repo("repo", penstock))
    remote = side.with_remote()
    tracked(side)
    side.put({"x": "9"})
    side("add", "x")
    shutil.rmtree(side.root / ".dvc/cache/files/md5/45")
    done = side("push")
    assert done.returncode == 1
    assert "x is not in the cache" in done.stderr
    assert len(names(remote)) == 6
