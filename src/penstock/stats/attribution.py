"""What a difference is made of: the Shapley value of each part that was swapped, with its uncertainty.

Source: Shapley (1953), A Value for n-Person Games; sampled orders: Castro, Gomez, Tejada (2009),
doi:10.1016/j.cor.2008.04.004. An order is a way to swap the parts one after the other.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from penstock.base.numbers import counted
from penstock.stats.quantiles import student_quantile

Order = tuple[str, ...]
Parts = frozenset[str]
ALPHA = 0.05
SEED = 20_250


class Orders(NamedTuple):
    """Orders with all the sets of parts that they pass; `is_exact` when these are all orders there are."""

    orders: tuple[Order, ...]
    cells: tuple[Parts, ...]
    is_exact: bool


class Share(NamedTuple):
    """A part's share of a difference; `half_width` of its 95 % interval, None from a single measurement."""

    value: float
    half_width: float | None


def choose_orders(parts: Sequence[str], max_cells: int) -> Orders:
    """Return all orders of the parts if their 2^n sets are at most `max_cells`, else a sample that passes fewer.

    A sampled order comes with its reverse, which halves the error of a part whose effect depends on the others.

    Raises:
        ValueError: `max_cells` is too few for one order and its reverse.
    """
    everything = 2 ** len(parts)
    if everything <= max_cells and len(parts) <= 7:
        return _with_cells(permutations(parts), is_exact=True)
    chosen: list[Order] = []
    found: set[Parts] = set()
    generator = np.random.default_rng(SEED)
    for _ in range(max_cells):
        order = tuple(parts[at] for at in generator.permutation(len(parts)))
        pair = [order, order[::-1]]
        passed = found.union(*(_passed(one) for one in pair))
        if len(passed) > max_cells:
            break
        chosen, found = [*chosen, *pair], passed
    if not chosen:
        raise ValueError(f"{counted(2 * len(parts), 'set')} of parts are the fewest, not {max_cells}")
    return _with_cells(dict.fromkeys(chosen), is_exact=False)


def attribute(orders: Orders, worths: Sequence[Mapping[Parts, float]]) -> tuple[dict[str, Share], int]:
    """Return each part's share of the difference between no part and all, and how many orders it rests on.

    Orders that pass a set without a worth in some repetition are left out: what cannot be measured is not guessed.

    Args:
        worths: what each set of parts is worth; one mapping a repetition, the same seed in all of its sets.

    Raises:
        ValueError: no order is left.
    """
    usable = [order for order in orders.orders if all(set(_passed(order)) <= one.keys() for one in worths)]
    if not usable:
        raise ValueError("no order has all of its sets measured")
    found = {}
    for part in usable[0]:
        gains = [[_gain(order, part, worth) for order in usable] for worth in worths]
        by_repetition = [statistics.fmean(one) for one in gains]
        by_order = [statistics.fmean(one[at] for one in gains) for at in range(len(usable))]
        is_sampled = not orders.is_exact
        found[part] = Share(
            statistics.fmean(by_repetition), _half_width(by_repetition, by_order if is_sampled else [])
        )
    return found, len(usable)


def _gain(order: Order, part: str, worth: Mapping[Parts, float]) -> float:
    before = frozenset(order[: order.index(part)])
    return worth[before | {part}] - worth[before]


def _half_width(by_repetition: Sequence[float], by_order: Sequence[float]) -> float | None:
    """Return half of the 95 % interval: what seeds and, where orders are a sample, orders leave open."""
    variances = [
        (statistics.variance(one) / len(one), len(one) - 1)
        for one in (by_repetition, by_order)
        if len(one) > 1
    ]
    if len(by_repetition) < 2:
        return None
    fewest = min(degrees for _, degrees in variances)
    return student_quantile(fewest, ALPHA) * math.sqrt(sum(variance for variance, _ in variances))


def _passed(order: Order) -> list[Parts]:
    return [frozenset(order[:count]) for count in range(len(order) + 1)]


def _with_cells(orders: Iterable[Order], *, is_exact: bool) -> Orders:
    chosen = tuple(orders)
    cells = dict.fromkeys(cell for order in chosen for cell in _passed(order))
    ends = sorted(cells, key=lambda cell: (len(cell), sorted(cell)))
    return Orders(chosen, tuple(ends), is_exact)
