from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stats.weighted import WeightedSample, folded, joined, sample_of_ordered, thinned

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


def plain(values: list[float]) -> WeightedSample:
    return WeightedSample(np.array(values), np.ones(len(values)))


@given(numbers, numbers)
def test_a_join_counts_what_both_hold(a: list[float], b: list[float]) -> None:
    points = np.unique(np.array([*a, *b]))
    both = joined([plain(a), plain(b)])
    for inclusive in (True, False):
        apart = plain(a).below(points, inclusive=inclusive) + plain(b).below(points, inclusive=inclusive)
        assert both.below(points, inclusive=inclusive).tolist() == apart.tolist()
    assert both.below(points, inclusive=True)[-1] == len(a) + len(b)


@given(numbers, st.integers(4, 30))
def test_thinning_keeps_the_total_and_moves_no_rank_far(values: list[float], size: int) -> None:
    before = plain(values)
    after = thinned(before, size)
    assert after.total == pytest.approx(before.total)
    points = np.unique(np.array(values))
    gap = np.abs(before.below(points, inclusive=True) - after.below(points, inclusive=True)).max()
    assert gap <= len(values) / size + 1e-6
    assert thinned(before, size).to_bytes() == after.to_bytes()


@given(numbers)
def test_a_sample_survives_its_bytes(values: list[float]) -> None:
    data = plain(values).to_bytes()
    assert WeightedSample.from_bytes(data).to_bytes() == data
    assert WeightedSample.is_sample(data)


def test_a_heavy_value_keeps_its_exact_weight() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([np.full(3000, 7.0), rng.normal(size=7000)])
    kept = thinned(WeightedSample(values, np.ones(10_000)), 100)
    assert kept.weights[kept.values == 7.0].tolist() == [3000.0]


def test_foreign_bytes_are_refused() -> None:
    for data in (b"W1\x00", b"W1" + bytes(16), b"W1" + bytes(8)):
        with pytest.raises(ValueError):
            WeightedSample.from_bytes(data)


def test_a_sample_of_ordered_values_moves_no_rank_far_and_keeps_few_or_heavy_values_exact() -> None:
    rng = np.random.default_rng(3)
    many = np.sort(rng.normal(size=20_000))
    with_an_atom = np.sort(np.concatenate([np.full(3000, 0.5), rng.normal(size=17_000)]))
    few = np.sort(rng.integers(0, 40, 20_000).astype(float))
    for values in (many, with_an_atom, few, many[:30]):
        found = sample_of_ordered(values)
        assert found.total == pytest.approx(len(values)) and len(found.values) <= 1001
        points = np.unique(rng.choice(values, 200))
        truth = np.searchsorted(values, points, side="right")
        assert np.abs(found.below(points, inclusive=True) - truth).max() <= len(values) / 1000 + 1
    assert sample_of_ordered(with_an_atom).weights[sample_of_ordered(with_an_atom).values == 0.5] == [3000.0]
    assert sample_of_ordered(few).weights.tolist() == np.unique(few, return_counts=True)[1].tolist()


@given(st.lists(numbers, min_size=1, max_size=12))
def test_folded_samples_are_few_and_stand_for_the_same_values(parts: list[list[float]]) -> None:
    samples = [plain(part) for part in parts]
    found = folded(samples)
    totals = [one.total for one in found]
    assert all(larger >= 2 * smaller for larger, smaller in pairwise(totals))
    points = np.unique(np.concatenate([one.values for one in samples]))
    whole, kept = joined(samples), joined(found)
    np.testing.assert_allclose(
        kept.below(points, inclusive=True), whole.below(points, inclusive=True), atol=1e-6
    )
