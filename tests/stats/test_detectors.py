from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stats.detectors import drop_z, ratio_lower_bound


@given(st.integers(0, 2000), st.integers(1, 2000))
def test_the_bound_lies_below_the_observed_ratio(hits: int, count: int) -> None:
    hits = min(hits, count)
    assert 0 <= ratio_lower_bound(hits, count) <= hits / count


@pytest.mark.parametrize("count", [20, 100, 1000])
def test_the_bound_is_wrong_no_more_often_than_stated(count: int) -> None:
    rng = np.random.default_rng(5)
    hits = rng.binomial(count, 0.01, size=20_000)
    bounds = {one: ratio_lower_bound(int(one), count, confidence=0.99) for one in set(hits.tolist())}
    assert np.mean([bounds[one] > 0.01 for one in hits.tolist()]) <= 0.012


def test_a_drop_without_error_is_sure_and_an_unknown_one_is_nothing() -> None:
    assert drop_z(0.1, 0.0) == math.inf
    assert drop_z(0.0, 0.0) == 0.0
    assert drop_z(math.nan, 0.1) == 0.0
    assert drop_z(0.1, math.nan) == 0.0
