from __future__ import annotations

import random
from itertools import combinations

import pytest
from scipy import stats

from penstock.stats.attribution import attribute, choose_orders
from penstock.stats.quantiles import student_quantile

PARTS = ("data", "parameters", "code")


def worth_of(cell: frozenset[str]) -> float:
    """Effects 3, 1 and 0, and 2 for data and parameters together."""
    return 3.0 * ("data" in cell) + ("parameters" in cell) + 2.0 * ({"data", "parameters"} <= cell)


def test_shares_are_the_shapley_values_and_add_up() -> None:
    orders = choose_orders(PARTS, 8)
    shares, used = attribute(orders, [{cell: worth_of(cell) for cell in orders.cells}])
    assert {part: share.value for part, share in shares.items()} == pytest.approx(
        {"data": 4.0, "parameters": 2.0, "code": 0.0}
    )
    assert (used, orders.is_exact, len(orders.cells)) == (6, True, 8)
    assert all(share.half_width is None for share in shares.values())


def test_every_set_of_parts_is_a_cell_once() -> None:
    cells = choose_orders(PARTS, 8).cells
    assert set(cells) == {frozenset(some) for count in range(4) for some in combinations(PARTS, count)}
    assert len(cells) == 8


def test_orders_that_pass_what_failed_are_left_out_and_counted() -> None:
    orders = choose_orders(PARTS, 8)
    worth = {cell: worth_of(cell) for cell in orders.cells if cell != {"code"}}
    shares, used = attribute(orders, [worth])
    assert used == 4
    assert sum(share.value for share in shares.values()) == pytest.approx(6.0)
    with pytest.raises(ValueError, match="no order"):
        attribute(orders, [{frozenset(): 0.0, frozenset(PARTS): 1.0}])


def test_many_parts_are_sampled_within_the_budget() -> None:
    parts = tuple(f"p{number}" for number in range(12))
    orders = choose_orders(parts, 300)
    assert not orders.is_exact
    assert len(orders.cells) <= 300
    worths = [{cell: sum(int(one[1:]) for one in cell) for cell in orders.cells}]
    shares, _ = attribute(orders, worths)
    assert {part: share.value for part, share in shares.items()} == pytest.approx(
        {part: float(part[1:]) for part in parts}
    )
    with pytest.raises(ValueError, match="fewest"):
        choose_orders(parts, 20)


def test_the_interval_holds_the_effect_in_95_of_100_experiments() -> None:
    orders, generator, held = choose_orders(PARTS, 8), random.Random(7), 0
    for _ in range(400):
        worths = [{cell: worth_of(cell) + generator.gauss(0, 1) for cell in orders.cells} for _ in range(4)]
        share = attribute(orders, worths)[0]["data"]
        assert share.half_width is not None
        held += abs(share.value - 4.0) <= share.half_width
    assert stats.binomtest(held, 400, 0.95).pvalue > 1e-4


def test_student_quantiles_are_those_of_scipy() -> None:
    for degrees in (1, 2, 4, 30, 1000):
        for alpha in (0.5, 0.05, 0.001):
            assert student_quantile(degrees, alpha) == pytest.approx(
                stats.t.ppf(1 - alpha / 2, degrees), rel=1e-9
            )
