"""Stages come after what they need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Invalid, NotFound
from penstock.pipeline.graph import order, upstream_of
from penstock.pipeline.stage import Stage, StageOutput


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
    ordered = [one.name for one in order(stages)]
    assert sorted(ordered) == sorted(one.name for one in stages)
    upstream = upstream_of(stages)
    for position, name in enumerate(ordered):
        assert set(upstream[name]) <= set(ordered[:position])


def test_a_target_takes_its_needs_along_unless_single() -> None:
    stages = [stage("a"), stage("b", ("a",)), stage("c")]
    assert [one.name for one in order(stages, ["b"])] == ["a", "b"]
    assert [one.name for one in order(stages, ["out/b"], single=True)] == ["b"]


def test_a_circle_is_named() -> None:
    with pytest.raises(Invalid, match="a -> b -> a"):
        order([stage("a", ("b",)), stage("b", ("a",))])


def test_an_unknown_target_lists_the_stages() -> None:
    with pytest.raises(NotFound) as caught:
        order([stage("a")], ["z"])
    assert caught.value.hint == "stages: a"


def test_a_dependency_below_an_output_counts() -> None:
    reader = Stage("r", ("x",), dependencies=("out/a/part.csv",))
    assert upstream_of([stage("a"), reader])["r"] == ("a",)
