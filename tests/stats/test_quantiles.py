from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special

from penstock.stats.quantiles import beta_quantile, chi_square_quantile

counts = st.integers(1, 10**7)


@given(hits=counts, others=counts, probability=st.sampled_from([1e-6, 0.001, 0.025, 0.5, 0.975, 0.9999]))
@example(hits=1, others=10**7, probability=1e-6)
@example(hits=10**7, others=1, probability=0.9999)
def test_beta_quantiles_are_those_of_scipy(hits: int, others: int, probability: float) -> None:
    expected = float(special.betaincinv(hits, others, probability))
    assert beta_quantile(hits, others, probability) == pytest.approx(expected, rel=1e-8, abs=1e-14)


@given(degrees=st.integers(1, 5000), probability=st.sampled_from([1e-6, 0.05, 0.5, 0.95, 0.999, 0.9999]))
def test_chi_square_quantiles_are_those_of_scipy(degrees: int, probability: float) -> None:
    expected = 2 * float(special.gammaincinv(degrees / 2, probability))
    assert chi_square_quantile(degrees, probability) == pytest.approx(expected, rel=1e-9)


def test_the_ends_are_the_ends() -> None:
    assert (beta_quantile(3, 4, 0), beta_quantile(3, 4, 1)) == (0.0, 1.0)
    assert math.isclose(beta_quantile(1, 1, 0.3), 0.3)
