from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stats import evidence as ev

counts = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=1, max_size=8)


def array(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float64)


@given(st.integers(1, 60), st.floats(0.0001, 0.5))
def test_evidence_against_a_limit_is_at_most_one_on_average_at_the_limit(count: int, limit: float) -> None:
    hits = np.arange(count + 1)
    chance = np.array([math.comb(count, hit) for hit in hits]) * limit**hits * (1 - limit) ** (count - hits)
    values = [ev.limit_evidence(array([hit]), array([count]), limit) for hit in hits.tolist()]
    assert float((chance * np.exp(values)).sum()) <= 1 + 1e-9


@given(st.integers(1, 12), st.integers(1, 30), st.data())
def test_evidence_of_a_difference_is_at_most_one_on_average_without_one(
    ours: int, theirs: int, data: st.DataObject
) -> None:
    """Given all hits of a block, how they fall on the routes is hypergeometric, whatever the base rate is."""
    both = data.draw(st.integers(0, ours + theirs))
    total = 0.0
    for hit in range(max(0, both - theirs), min(ours, both) + 1):
        chance = math.comb(ours, hit) * math.comb(theirs, both - hit) / math.comb(ours + theirs, both)
        total += chance * math.exp(
            ev.rate_evidence(array([hit]), array([ours]), array([both - hit]), array([theirs]))
        )
    assert total <= 1 + 1e-9


@given(counts)
def test_failures_that_both_routes_share_are_no_evidence(blocks: list[tuple[int, int]]) -> None:
    trials = array([10 * count + 10 for count, _ in blocks])
    hits = array([min(hit, 10) for _, hit in blocks])
    assert ev.rate_evidence(hits, trials, hits, trials) <= 1e-9
    assert ev.rate_evidence(hits * 0, trials, hits, trials) <= 1e-9


@given(st.integers(3, 40), st.integers(0, 40), st.integers(1, 60))
def test_a_breakdown_is_the_inverse_of_its_chance(ours: int, hits: int, theirs: int) -> None:
    hits = min(hits, theirs)
    chance = math.comb(theirs, hits) / math.comb(ours + theirs, ours + hits)
    assert ev.complete_failure_evidence(ours, hits, theirs) == pytest.approx(-math.log(chance), abs=1e-6)


def test_the_weights_of_all_moments_of_change_sum_to_one() -> None:
    whole = ev.change_weights(100_000)
    assert 0.999 < float(np.exp(whole).sum()) <= 1.0
    assert ev.change_weights(7, earlier=500).tolist() == pytest.approx(whole[500:507].tolist())
    hits, trials = np.array([9.0, 8.0]), np.array([100.0, 90.0])
    assert ev.limit_evidence(hits, trials, 0.01, earlier=1000) < ev.limit_evidence(hits, trials, 0.01)


def test_a_rate_that_rises_after_a_long_time_is_found() -> None:
    hits, trials = np.full(10_000, 0.0), np.full(10_000, 10.0)
    hits[-8:] = 3
    assert ev.limit_evidence(hits, trials, 0.01) > ev.threshold(0.01)
    hits[-8:] = 0
    assert ev.limit_evidence(hits, trials, 0.01) < 0


def test_bursts_are_told_from_independent_hits_by_the_dispersion_of_blocks() -> None:
    rng = np.random.default_rng(3)
    trials = np.full(200, 100.0)
    single = rng.binomial(100, 0.02, 200).astype(float)
    bursts = 20.0 * rng.binomial(1, 0.1, 200)
    assert ev.limit_dispersion(single, trials) < 1.5
    assert 14 < ev.limit_dispersion(bursts, trials) < 26
    assert ev.limit_dispersion(single[:1], trials[:1]) == pytest.approx(ev.UNKNOWN_DISPERSION)


def test_nothing_seen_is_no_evidence() -> None:
    none = np.zeros(0)
    zero = np.zeros(1)
    assert ev.rate_evidence(none, none, none, none) == 0.0
    assert ev.rate_evidence(zero, zero, zero, zero) == pytest.approx(math.log(ev.FIRST_SHARE))
    assert ev.complete_failure_evidence(0, 0, 5) == 0.0
