from __future__ import annotations

import math

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.monitoring.guardrails.blocks import count_runs
from penstock.monitoring.guardrails.limits import LATENCY_MAX_MS
from penstock.monitoring.latency import BOUNDS_S, LatencyHistogram

durations = st.lists(st.floats(0, 200), max_size=50)


def histogram(values: list[float]) -> LatencyHistogram:
    made = LatencyHistogram()
    made.update(values)
    return made


@given(durations, durations)
def test_merging_is_exact_and_survives_bytes(a: list[float], b: list[float]) -> None:
    merged = histogram(a).merge(histogram(b))
    assert np.array_equal(merged.counts, histogram(a + b).counts)
    assert np.array_equal(LatencyHistogram.from_bytes(merged.to_bytes()).counts, merged.counts)


def test_quantiles_are_within_a_bucket() -> None:
    values = np.random.default_rng(1).lognormal(-6, 1, 20_000)
    made = histogram(values.tolist())
    for rank in (0.5, 0.95, 0.99):
        assert math.isclose(made.quantile_s(rank), float(np.quantile(values, rank)), rel_tol=0.08)


@given(durations, st.floats(0.001, 50))
def test_what_counts_as_above_a_limit_surely_is(values: list[float], limit: float) -> None:
    assert histogram(values).count_above(limit) <= sum(value > limit for value in values)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert math.isnan(LatencyHistogram().quantile_s(0.5))


@given(durations, durations, st.floats(0.001, 50))
def test_runs_above_a_limit_are_counted_in_their_order(a: list[float], b: list[float], limit: float) -> None:
    merged = histogram(a).merge(histogram(b))
    first = int(np.searchsorted(BOUNDS_S, limit)) + 1
    slow = [(np.searchsorted(BOUNDS_S, one) >= first).tolist() for one in (a, b)]
    expected = sum(count_runs(one) for one in slow)
    assert merged.runs_above(limit) == expected
    assert LatencyHistogram.from_bytes(merged.to_bytes()).runs_above(limit) == expected


def test_what_was_stored_without_its_order_knows_no_runs() -> None:
    old = LatencyHistogram.from_bytes(msgspec.msgpack.encode([3, 7, 9, 1]))
    assert (old.count, old.runs_above(0.0001)) == (8, None)
    both = histogram([0.1]).merge(old)
    assert both.runs_above(0.0001) is None
    assert LatencyHistogram.from_bytes(both.to_bytes()).runs_above(0.0001) is None
    assert LatencyHistogram.from_bytes(LatencyHistogram().to_bytes()).runs_above(0.0001) == 0


def test_every_limit_that_a_policy_may_have_can_be_broken() -> None:
    longest = histogram([1.2 * LATENCY_MAX_MS / 1000] * 7 + [50.0] * 3)
    for limit_s in (110.0, 111.0, 500.0, 86_400.0, LATENCY_MAX_MS / 1000):
        assert (longest.count_above(limit_s), longest.runs_above(limit_s)) == (7, 1)
    slow = histogram([200.0] * 10)
    assert (slow.count_above(150), slow.count_above(250)) == (10, 0)
    assert math.isclose(slow.quantile_s(0.99), 200, rel_tol=0.06)


def test_what_was_stored_while_the_bounds_ended_at_110_s_is_above_that_and_merges() -> None:
    """One request of 1 s and two longer than 110 s, as an earlier version wrote them."""
    second = int(np.searchsorted(BOUNDS_S, 1.0))
    pairs = [[second, 1, 147, 2], [0, 1, second + 1, 0, 148, -1]]
    old = LatencyHistogram.from_bytes(msgspec.msgpack.encode(pairs))
    assert (old.count_above(100), old.count_above(150), old.runs_above(100)) == (2, 0, 1)
    both = LatencyHistogram.from_bytes(old.merge(histogram([200.0])).to_bytes())
    assert (both.count, both.count_above(100), both.count_above(150), both.runs_above(100)) == (4, 3, 1, 2)
