"""Data from elsewhere (`add --out`, `--to-remote`, `import`, `get`), and repositories that end, by both programs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.sides import Comparison, Scenario, Side, names, tree_of
from compat.dvc.tools import Tool, git

pytestmark = pytest.mark.slow


def outside(side: Side) -> Path:
    place = side.beside("elsewhere")
    (place / "f").write_text("1")
    (place / "s").mkdir()
    (place / "s/g").write_text("2")
    return place


def source(side: Side) -> tuple[Path, Side]:
    """Make a repository to import from: two commits, the first is `v1`."""
    place = side.beside("source")
    origin = Side(side.tool, place)
    git(place, "init", "-q", "-b", "main")
    origin("init")
    origin.put({"data/a": "1", "data/b": "2", "file": "3", "code.py": "c"})
    origin("add", "data", "file")
    origin.commit_all("1")
    origin.git("tag", "v1")
    origin.put({"data/a": "11"})
    origin("add", "data")
    origin.commit_all("2")
    return place, origin


def pointer(side: Side, name: str, place: Path) -> str:
    """Take a pointer out of the tree, without what differs between two sources."""
    path = side.root / name
    text = path.read_text().replace(str(place), "SOURCE")
    path.unlink()
    return re.sub(r"[0-9a-f]{40}", "REV", re.sub(r"(?m)^md5: .*$", "md5", text))


def added_under_another_name(side: Side) -> object:
    place = outside(side)
    side.put({"x": "1", "taken": "x"})
    (side.root / "here").mkdir()
    side("add", "x", "-o", "y")
    side("add", place, "-o", "got")
    side("add", place / "f", "-o", "here")
    side("add", place / "f", "-o", "taken")
    side("add", place / "f", "-o", "taken", "-f")
    return None


def straight_to_a_remote(side: Side) -> object:
    remote, place = side.with_remote(), outside(side)
    side("add", place, "--to-remote", "-o", "z")
    side("import-url", place / "f", "--to-remote")
    (place / "f").write_text("22")
    side("update", "f.dvc", "--to-remote")
    side("pull", "z.dvc")
    (side.root / ".gitignore").unlink()  # DVC forgets `add --to-remote` there
    return names(remote), pointer(side, "f.dvc", place)


def added_but_not_stored(side: Side) -> object:
    side.put({"x": "1", "d/y": "2"})
    side("add", "x", "d", "--no-commit")
    before = tree_of(side.root)
    side("commit")
    return before


def added_and_left_as_it_is(side: Side) -> object:
    side("config", "cache.type", "symlink")
    side.put({"x": "1", "d/y": "2"})
    side("add", "x", "d", "--no-relink")
    side.put({"x": "2"})
    return side("commit", "-f", "--no-relink").returncode


def imported_by_revision(side: Side) -> object:
    place, _ = source(side)
    side("import", place, "data", "--rev", "v1")
    first = (side.root / "data/a").read_text()
    side("update", "data.dvc", "--rev", "main")
    side("import", place, "data/a", "-o", "x")
    side("import", place, "code.py")
    return first, *(pointer(side, name, place) for name in ("data.dvc", "x.dvc", "code.py.dvc"))


def imported_without_a_download(side: Side) -> object:
    place, _ = source(side)
    side("import", place, "data", "--no-download")
    before = side.json("status")
    side("pull")
    shutil.rmtree(side.root / ".dvc/cache", ignore_errors=True)  # DVC keeps a copy of it elsewhere in there
    return before, pointer(side, "data.dvc", place)


def imported_from_a_remote_by_name(side: Side) -> object:
    place, origin = source(side)
    up = side.beside("up")
    origin("remote", "add", "up", up)
    origin("push", "-r", "up")
    origin.commit_all("remote")
    shown = side.text("get", place, "data/a", "--show-url", "--remote", "up").replace(str(up), "UP")
    shutil.rmtree(place / ".dvc/cache")
    side("import", place, "data", "--remote", "up")
    side("import", place, "file", "--remote", "up", "--remote-config", "jobs=3")
    side("get", place, "file", "--remote", "up", "-o", "got")
    return shown, pointer(side, "data.dvc", place), pointer(side, "file.dvc", place)


def got_where_something_is(side: Side) -> object:
    place, _ = source(side)
    for words in (
        ("data", "-o", "o"),
        ("data", "-o", "o"),
        ("data/a", "-o", "o"),
        ("file", "-f", "-o", "o/a"),
        ("nope",),
        ("data", "--rev", "nope"),
        ("data", "--rev", "v1", "-o", "old"),
    ):
        side("get", place, *words)
    return None


def frozen_and_destroyed(side: Side) -> object:
    side.put({"x": "1", "d/y": "2", "dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > o\n    outs: [o]\n"})
    side("config", "cache.type", "symlink")
    side("add", "x", "d")
    side("repro")
    side("freeze", "a")
    frozen = (side.root / "dvc.yaml").read_text()
    side("unfreeze", "a")
    thawed = (side.root / "dvc.yaml").read_text()
    side("destroy", "-f")
    return frozen, thawed


SCENARIOS: list[Scenario] = [
    added_under_another_name,
    straight_to_a_remote,
    added_but_not_stored,
    added_and_left_as_it_is,
    imported_by_revision,
    imported_without_a_download,
    imported_from_a_remote_by_name,
    got_where_something_is,
    frozen_and_destroyed,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_do_the_same(compare: Comparison, scenario: Scenario) -> None:
    compare(scenario)


def test_what_goes_to_a_remote_is_ignored_by_git(
    make_repo: Callable[[str, Tool], Path], penstock: Tool
) -> None:
    side = Side(penstock, make_repo("repo", penstock))
    side.with_remote()
    side("add", outside(side) / "f", "--to-remote")
    assert side.cached() == []
    assert not (side.root / "f").exists()
    assert (side.root / ".gitignore").read_text() == "/f\n"
    assert side("pull").returncode == 0
    assert (side.root / "f").read_text() == "1"
