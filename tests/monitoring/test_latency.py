from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.monitoring.latency import LatencyHistogram

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
