"""What `add` and `checkout --relink` make of links, overlaps and single paths, by both programs: the same tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compat.dvc.sides import Comparison, Side
from compat.dvc.tools import Tool, git

pytestmark = pytest.mark.slow
Scenario = Callable[[Path, Tool], None]


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def tracked(root: Path, tool: Tool) -> None:
    write(root, {f"data/f{number}": str(number) for number in range(3)})
    tool(root, "add", "data")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "data")


def one_new_file(root: Path, tool: Tool) -> None:
    tracked(root, tool)
    write(root, {"data/sub/new": "n", "data/f0": "changed", "data/f1": "changed too"})
    tool(root, "add", "data/sub/new")


def nothing_new_inside(root: Path, tool: Tool) -> None:
    write(root, {"data/sub/deep/f": "deep"})
    tracked(root, tool)
    tool(root, "add", "data/sub/deep")
    tool(root, "add", "data/f0")


def another_directory_in_the_place_of_a_tracked_one(root: Path, tool: Tool) -> None:
    tracked(root, tool)
    write(root, {"other/x": "x"})
    tool(root, "add", "-f", "other", "-o", "data")
    for left in root.glob(".dvc/cache/files/md5/.*.tmp"):  # DVC leaves a copy there
        left.unlink()


def frozen_again(root: Path, tool: Tool) -> None:
    tracked(root, tool)
    tool(root, "freeze", "data.dvc")


def one_changed_file(root: Path, tool: Tool) -> None:
    tracked(root, tool)
    write(root, {"data/f0": "changed", "data/f1": "changed too"})
    tool(root, "add", "data/f0")


def one_removed_file(root: Path, tool: Tool) -> None:
    tracked(root, tool)
    (root / "data/f0").unlink()
    write(root, {"data/f1": "changed too"})
    tool(root, "add", "data/f0")


def a_directory_inside(root: Path, tool: Tool) -> None:
    tracked(root, tool)
    write(root, {"data/sub/a": "1", "data/sub/b": "1", "data/other": "o"})
    tool(root, "add", "data/sub")


def a_link_to_a_file(root: Path, tool: Tool) -> None:
    write(root, {"real": "1"})
    (root / "link").symlink_to("real")
    tool(root, "add", "link")


def a_link_to_a_directory(root: Path, tool: Tool) -> None:
    write(root, {"real/a": "1"})
    (root / "link").symlink_to("real")
    tool(root, "add", "link", ok=False)


def links_inside_a_directory(root: Path, tool: Tool) -> None:
    write(root, {"data/a": "1", "outside": "o"})
    (root / "data/inner").symlink_to("a")
    (root / "data/outer").symlink_to("../outside")
    tool(root, "add", "data")


def hard_links_and_empty_files(root: Path, tool: Tool) -> None:
    tool(root, "config", "cache.type", "hardlink")
    write(root, {"data/empty": "", "data/f": "1", "empty": ""})
    tool(root, "add", "data", "empty")


def links_asked_for_later(root: Path, tool: Tool) -> None:
    write(root, {"d/f": "1", "g": "2"})
    tool(root, "add", "d", "g")
    tool(root, "config", "cache.type", "symlink")
    tool(root, "checkout", "--relink")


def copies_asked_for_later(root: Path, tool: Tool) -> None:
    tool(root, "config", "cache.type", "hardlink")
    write(root, {"d/f": "1", "g": "2"})
    tool(root, "add", "d", "g")
    tool(root, "config", "cache.type", "copy")
    tool(root, "checkout", "--relink")


def a_directory_around_something_tracked(root: Path, tool: Tool) -> None:
    write(root, {"d/f": "1"})
    tool(root, "add", "d/f")
    tool(root, "add", "d", ok=False)
    shutil.rmtree(root / ".dvc/cache")


def what_is_gone_from_disk(root: Path, tool: Tool) -> None:
    tracked(root, tool)
    shutil.rmtree(root / "data")
    tool(root, "checkout", "data/f1")


SCENARIOS: list[Scenario] = [
    one_new_file,
    nothing_new_inside,
    another_directory_in_the_place_of_a_tracked_one,
    frozen_again,
    one_changed_file,
    one_removed_file,
    a_directory_inside,
    a_link_to_a_file,
    a_link_to_a_directory,
    links_inside_a_directory,
    hard_links_and_empty_files,
    links_asked_for_later,
    copies_asked_for_later,
    a_directory_around_something_tracked,
    what_is_gone_from_disk,
]


def by_side(scenario: Scenario) -> Callable[[Side], None]:
    """Return a scenario whose every call must end as it says."""

    def run(side: Side) -> None:
        scenario(side.root, side.tool)

    run.__name__ = scenario.__name__
    return run


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_leave_the_same(compare: Comparison, scenario: Scenario) -> None:
    compare(by_side(scenario))


def what_a_pipeline_makes(root: Path, tool: Tool) -> None:
    write(root, {"dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > out\n    outs: [out]\n"})
    tool(root, "repro")
    tool(root, "add", "out", ok=False)
    assert not (root / "out.dvc").exists()


def test_a_pipeline_s_output_is_not_added(compare: Comparison) -> None:
    compare(by_side(what_a_pipeline_makes))
