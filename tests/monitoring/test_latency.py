from __future__ import annotations

import math

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.monitoring.guardrails.blocks import count_runs
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
