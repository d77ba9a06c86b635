"""A sum of step functions: it finds what is one, also where columns go together, and owns to what it cannot explain."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.stats.additive import fit_additive, held_out


def test_a_sum_of_steps_is_found_and_its_mean_follows_from_shares_alone() -> None:
    rng = np.random.default_rng(2)
    first = rng.integers(0, 4, 20_000)
    second = np.where(rng.random(20_000) < 0.7, first, rng.integers(0, 4, 20_000))
    target = 5 + np.array([0.0, 1.0, 2.0, 3.0])[first] + np.array([1.0, 0.0, 0.0, 2.0])[second]
    fitted = fit_additive([first, second], [4, 5], target)
    assert np.abs(fitted.of_rows([first, second]) - target).max() < 0.05
    shares = [np.bincount(first[:500], minlength=4) / 500, np.bincount(second[:500], minlength=5) / 500]
    assert fitted.of_shares(shares) == pytest.approx(target[:500].mean(), abs=0.02)
    assert fitted.steps[1][4] == 0.0, "nobody was seen there"


def test_what_is_only_chance_is_not_explained_on_rows_that_were_held_out() -> None:
    rng = np.random.default_rng(3)
    places = [rng.integers(0, 30, 1_000) for _ in range(10)]
    target = rng.exponential(1, 1_000)
    left = target - held_out(places, [30] * 10, target)
    assert np.var(left) > 0.95 * np.var(target)
