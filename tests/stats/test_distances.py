from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stats.distances import kolmogorov_smirnov, population_stability, stability_noise

bins = st.lists(st.integers(0, 10_000), min_size=2, max_size=12)


@given(bins, bins)
def test_the_index_is_finite_and_never_negative(a: list[int], b: list[int]) -> None:
    size = min(len(a), len(b))
    index = population_stability(np.array(a[:size], dtype=float), np.array(b[:size], dtype=float))
    assert np.isfinite(index)
    assert index >= 0


@given(bins)
def test_equal_distributions_have_no_distance(a: list[int]) -> None:
    counts = np.array(a, dtype=float)
    assert population_stability(counts, counts) == 0.0
    assert kolmogorov_smirnov(counts, counts) == 0.0


@pytest.mark.parametrize(("n", "m"), [(100_000, 500), (2_000, 2_000), (100_000, 100)])
def test_without_a_change_the_index_stays_within_its_noise(n: int, m: int) -> None:
    rng = np.random.default_rng(3)
    shares = np.full(11, 1 / 11)
    limit = stability_noise(11, n, m, confidence=0.99)
    draws = [
        population_stability(
            rng.multinomial(n, shares).astype(float), rng.multinomial(m, shares).astype(float)
        )
        for _ in range(2000)
    ]
    assert np.mean(np.array(draws) > limit) < 0.02


def test_a_shift_is_seen_for_what_it_is() -> None:
    rng = np.random.default_rng(4)
    edges = np.quantile(rng.normal(size=100_000), np.linspace(0.1, 0.9, 9))
    reference = np.bincount(np.searchsorted(edges, rng.normal(size=20_000)), minlength=10).astype(float)
    shifted = np.bincount(np.searchsorted(edges, rng.normal(0.5, 1, size=1000)), minlength=10).astype(float)
    assert 0.15 < population_stability(reference, shifted) < 0.4
