"""Random search draws within what was given, the same for the same seed."""

from __future__ import annotations

import pytest

from penstock.base.errors import Invalid
from penstock.pipeline.overriding import drawing
from penstock.pipeline.overriding.drawing import (
    Interval,
    parse_dimension,
    parse_search,
    require_several,
    told_fewer,
)
from penstock.pipeline.overriding.overrides import Override

TEXTS = [
    "lr=tag(log, interval(0.0001,0.1))",
    "other.yaml:+n=interval(2,5)",
    "m=interval(0.5, 1.5)",
    "k=a,b",
    "fixed=[1,2]",
]


def draw_overrides(texts: list[str], count: int, seed: int) -> list[tuple[Override, ...]]:
    return drawing.draw_overrides([parse_dimension(text) for text in texts], count, seed)


def test_draws_lie_within_what_was_given_and_can_be_repeated() -> None:
    drawn = draw_overrides(TEXTS, 400, 7)
    assert drawn == draw_overrides(TEXTS, 400, 7) != draw_overrides(TEXTS, 400, 8)
    columns = list(zip(*drawn, strict=True))
    rates = [one.value for one in columns[0]]
    assert all(0.0001 <= rate <= 0.1 for rate in rates)
    assert 120 < sum(rate < 0.00316228 for rate in rates) < 280  # half of them, on a logarithmic scale
    assert {one.value for one in columns[1]} == {2, 3, 4, 5}
    assert {(one.file, one.key, one.action) for one in columns[1]} == {("other.yaml", "n", "add")}
    assert all(0.5 <= one.value <= 1.5 for one in columns[2])
    assert {one.value for one in columns[3]} == {"a", "b"}
    assert {tuple(one.value) for one in columns[4]} == {(1, 2)}
    assert len(draw_overrides(["k=a,b"], 50, 0)) == 2


def test_draws_that_coincide_are_drawn_again_while_there_are_others() -> None:
    for seed in range(50):
        for text in ("side=1,2", "side=interval(1,9)"):
            assert len(draw_overrides([text], 2, seed)) == 2
        assert len(draw_overrides(["side=interval(1,9)"], 9, seed)) == 9
    assert len(draw_overrides(["side=interval(1,9)"], 50, 0)) == 9


def test_what_cannot_be_drawn_is_refused() -> None:
    for text in (
        "x=interval(2,1)",
        "x=tag(log,interval(0,1))",
        "x=interval(1,1)",
        "x=interval(1)",
        "x=interval(a,b)",
    ):
        with pytest.raises(Invalid):
            draw_overrides([text], 3, 0)
    with pytest.raises(Invalid, match="nothing can be drawn"):
        require_several(draw_overrides(["x=1"], 3, 0), 3)
    for text in ("random", "random:0", "random:x", "optuna:0", "grid:3", "random:99999999"):
        with pytest.raises(Invalid):
            parse_search(text)
    assert parse_search("random:12") == ("random", 12)
    assert parse_search("optuna:3") == ("optuna", 3)


def test_a_parameter_that_is_a_float_gets_floats_and_why_there_are_fewer_is_told() -> None:
    present = {"lr": 0.1, "n": 3, "on": True}
    for text, is_whole in (
        ("lr=interval(0,1)", False),
        ("lr=tag(log,interval(1,9))", False),
        ("n=interval(0,1)", True),
        ("+new=interval(0,1)", True),
        ("n=interval(0.0,1)", False),
    ):
        found = parse_dimension(text, lambda one: present.get(one.key))
        assert isinstance(found, Interval) and found.is_whole == is_whole, text
    given = [parse_dimension("n=interval(0,1)"), parse_dimension("k=a,b")]
    assert told_fewer(given, 4, 9) == (
        "only 4 different experiments can be drawn, not 9: n is drawn from whole numbers; "
        "interval(0.0,1.0) has those between"
    )
    assert told_fewer(given[1:], 2, 9) == "only 2 different experiments can be drawn, not 9"
