"""Stages come after what they need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Invalid, NotFound
from penstock.pipeline.graph import plan, upstream_of
from penstock.pipeline.stage import Stage, StageOutput
from penstock.pipeline.targets import Selection, choose


def stage(name: str, needs: tuple[str, ...] = ()) -> Stage:
    return Stage(
        name,
        ("x",),
        dependencies=tuple(f"out/{need}" for need in needs),
        outputs=(StageOutput(f"out/{name}"),),
    )


@given(st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=10), st.randoms())
def test_every_stage_comes_after_what_it_needs(needs: list[set[int]], random: object) -> None:
    stages = [stage(str(n), tuple(str(m) for m in sorted(wanted) if m < n)) for n, wanted in enumerate(needs)]
    random.shuffle(stages)  # type: ignore[attr-defined]
    ordered = [one.name for one in plan(stages, [])]
    assert sorted(ordered) == sorted(one.name for one in stages)
    upstream = upstream_of(stages)
    for position, name in enumerate(ordered):
        assert set(upstream[name]) <= set(ordered[:position])


def test_a_target_takes_along_what_its_extent_says() -> None:
    stages = [stage("c", ("b",)), stage("a"), stage("b", ("a",)), stage("x")]
    chosen = choose(Path(), stages, Selection(("b",)))
    found = {
        extent: [one.name for one in plan(stages, chosen, extent)]
        for extent in ("upstream", "single", "downstream", "pipeline")
    }
    assert found == {
        "upstream": ["a", "b"],
        "single": ["b"],
        "downstream": ["b", "c"],
        "pipeline": ["a", "b", "c"],
    }


def test_a_frozen_stage_needs_nothing() -> None:
    stages = [stage("a"), replace(stage("b", ("a",)), is_frozen=True), stage("c", ("b",))]
    assert [one.name for one in plan(stages, [stages[2]])] == ["b", "c"]
    assert upstream_of(stages)["b"] == ("a",)


def test_a_long_chain_is_no_matter() -> None:
    stages = [stage(str(n), (str(n - 1),) if n else ()) for n in reversed(range(3000))]
    assert [one.name for one in plan(stages, [])] == [str(n) for n in range(3000)]


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("a", ["a"]),
        ("dvc.yaml:a", ["a"]),
        ("out/a", ["a"]),
        ("g", ["g@1", "g@2"]),
        ("sub/dvc.yaml", ["sub/dvc.yaml:a"]),
        ("sub/dvc.yaml:a", ["sub/dvc.yaml:a"]),
        ("sub", ["sub/dvc.yaml:a"]),
        ("[ag]*", ["a", "g@1", "g@2"]),
    ],
)
def test_targets_mean_stages(tmp_path: Path, target: str, meant: list[str]) -> None:
    (tmp_path / "sub").mkdir()
    stages = [stage("a"), stage("g@1"), stage("g@2"), replace(stage("a"), home="sub")]
    selection = Selection((target,), recursive=True, use_glob=True)
    assert [one.address for one in choose(tmp_path, stages, selection)] == meant


def test_a_circle_is_named() -> None:
    with pytest.raises(Invalid, match="a -> b -> a"):
        plan([stage("a", ("b",)), stage("b", ("a",))], [])


def test_an_unknown_target_lists_the_stages() -> None:
    with pytest.raises(NotFound) as caught:
        choose(Path(), [stage("a")], Selection(("z",)))
    assert caught.value.hint == "stages: a"


def test_a_dependency_below_an_output_counts() -> None:
    reader = Stage("r", ("x",), dependencies=("out/a/part.csv",))
    assert upstream_of([stage("a"), reader])["r"] == ("a",)


def test_who_makes_what_inside_of_what_is_told() -> None:
    def makes(name: str, *paths: str) -> Stage:
        return Stage(name, ("x",), outputs=tuple(StageOutput(path) for path in paths))

    for stages, told in (
        ([makes("a", "x"), makes("b", "x/z")], "`b` makes x/z, inside x, which `a` makes"),
        ([makes("b", "x/y/z"), makes("a", "x")], "`b` makes x/y/z, inside x, which `a` makes"),
        ([makes("a", "x", "x/z")], "`a` makes x/z, inside x, which is an output of its own"),
        ([makes("a", "x"), makes("b", "x")], "stages `a` and `b` both make x"),
    ):
        with pytest.raises(Invalid) as caught:
            plan(stages, [])
        assert caught.value.message == told
