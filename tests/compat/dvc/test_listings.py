"""What `list`, `list-url`, `du`, `diff --md`, `checkout --summary` and `data status` print, by both programs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat.dvc.sides import Comparison, Scenario, Side

pytestmark = pytest.mark.slow


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A place on the disk: what lies in memory tells other sizes of directories."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        yield Path(place)


def tracked(side: Side) -> None:
    side.put({f"data/f{number}": str(number) for number in range(3)})
    side("add", "data")
    side.commit_all()


def sizes_and_trees(side: Side) -> object:
    side.put({"big": "x" * 123456, "s/t/u": "1", "g": "git"})
    side("add", "big", "s/t")
    calls = (
        ("--size",),
        ("--show-hash",),
        ("--size", "--show-hash", "-R"),
        ("-T", "--size"),
        ("-T", "-L", "1"),
    )
    return [side.text("list", ".", *words) for words in calls]


def space_in_use(side: Side) -> object:
    side.put({"big": "x" * 123456, "s/t/u": "1", "g": "git"})
    side("add", "big", "s/t")
    calls = ((".",), (".", "s"), (".", "-s"), (".", "g"))
    return [sorted(side.text("du", *words).split()) for words in calls]  # DVC has no order there


def places_behind_urls(side: Side) -> object:
    place = side.beside("elsewhere")
    (place / "s/t").mkdir(parents=True)
    (place / "f").write_text("1")
    (place / "s/t/g").write_text("2" * 2000)
    return (
        sorted(side.text("list-url", place).split()),
        sorted(side.text("list-url", place, "-R").split()),
        side.text("list-url", place / "s", "-T").replace(str(place), "ELSEWHERE"),
    )


def differences(side: Side) -> object:
    tracked(side)
    nothing = side.text("diff", "--md")
    side.put({"data/f0": "changed", "data/n": "n"})
    (side.root / "data/f1").rename(side.root / "data/renamed")
    side("add", "data")
    return nothing, side.text("diff", "--md"), side.text("diff", "--md", "--show-hash"), side.text("diff")


def counts_of_a_checkout(side: Side) -> object:
    tracked(side)
    shutil.rmtree(side.root / "data")
    told = [side.text("checkout", "--summary"), side.text("checkout", "--summary")]
    side.put({"data/f9": "9", "x": "1"})
    side("add", "data", "x")
    (side.root / "data/f0").unlink()
    side.put({"x": "changed", "data/f9": "changed too"})
    told.append(side.text("checkout", "-f", "--summary"))
    shutil.rmtree(side.root / "data")
    return told, side.text("checkout")


def states_without_a_cache(side: Side) -> object:
    tracked(side)
    shutil.rmtree(side.root / ".dvc/cache")
    return side.json("data", "status")


SCENARIOS: list[Scenario] = [
    sizes_and_trees,
    space_in_use,
    places_behind_urls,
    differences,
    counts_of_a_checkout,
    states_without_a_cache,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_both_print_the_same(compare: Comparison, scenario: Scenario) -> None:
    compare(scenario)
