"""Wasserstein, Jensen-Shannon and chi-square: as scipy has them on the same data, with the noise that chance gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from penstock.base.errors import Invalid
from penstock.base.settings import parse_settings
from penstock.monitoring.bins import edges_of
from penstock.monitoring.drift import FeatureDrift, compare
from penstock.monitoring.guardrails.drift import judge_drift
from penstock.monitoring.profile import Profile
from penstock.monitoring.reporting.changes import compare_profiles
from penstock.monitoring.settings import DriftLimit
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import Window, WindowKey
from penstock.stats.distances import (
    chi_square_effect,
    chi_square_noise,
    jensen_shannon,
    shannon_noise,
    wasserstein,
    wasserstein_noise,
)

Floats = npt.NDArray[np.float64]
DRAWS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.normal(3, 2, n),
    "skewed": lambda rng, n: rng.gamma(2, 5, n),
    "heavy": lambda rng, n: rng.standard_t(4, n),
    "counts": lambda rng, n: rng.poisson(3, n).astype(float),
    "flag": lambda rng, n: (rng.random(n) < 0.1).astype(float),
}


def drift_of(before: Floats, now: Floats) -> FeatureDrift:
    reference = reference_profile({"x": before})
    current = Profile(edges=edges_of(reference))
    current.update({"x": now})
    (found,) = compare(reference, current)
    return found


def test_distances_are_scipy_s_on_the_same_data() -> None:
    rng = np.random.default_rng(1)
    for name, draw in DRAWS.items():
        for change in (lambda x: x, lambda x: x + 0.3 * x.std(), lambda x: x * 1.3):
            before, now = draw(rng, 20_000), change(draw(rng, 8_000))
            ours, theirs = drift_of(before, now), stats.wasserstein_distance(before, now) / before.std()
            assert ours.wasserstein == pytest.approx(theirs, abs=0.04), name
    for _ in range(50):
        p, q = rng.integers(1, 1000, 12).astype(float), rng.integers(0, 1000, 12).astype(float)
        assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2), abs=1e-12)
        large = p * 1e6, q * 1e6
        statistic = stats.chisquare(large[1], large[0] * large[1].sum() / large[0].sum()).statistic
        assert chi_square_effect(*large) == pytest.approx(np.sqrt(statistic / large[1].sum()), rel=1e-5)
        a, b = np.sort(rng.normal(0, 1, 300)), np.sort(rng.normal(0.5, 2, 200))
        points = np.union1d(a, b)
        cdfs = (np.searchsorted(one, points, side="right") / len(one) for one in (a, b))
        assert wasserstein(points, *cdfs) == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-12)


def test_without_drift_chance_alone_hardly_ever_exceeds_the_noise() -> None:
    rng = np.random.default_rng(2)
    looked = over = 0
    nearest = {"wasserstein": 0.0, "jensen_shannon": 0.0, "chi_square": 0.0}
    for draw in DRAWS.values():
        reference = reference_profile({"x": draw(rng, 20_000)})
        for rows in (500, 5_000):
            for _ in range(40):
                current = Profile(edges=edges_of(reference))
                current.update({"x": draw(rng, rows)})
                (one,) = compare(reference, current)
                for name in list(nearest):
                    ratio = getattr(one, name) / getattr(one, f"{name}_noise")
                    nearest[name] = max(nearest[name], ratio)
                    looked, over = looked + 1, over + (ratio > 1)
    assert looked == 1200
    assert over == 0, nearest
    assert all(ratio > 0.3 for ratio in nearest.values()), f"a noise so large says nothing: {nearest}"


def test_a_limit_on_each_measure_finds_a_change_that_the_others_are_not_asked_about() -> None:
    rng = np.random.default_rng(3)
    reference = reference_profile(
        {"x": rng.normal(0, 1, 50_000), "c": rng.choice(["a", "b"], 50_000).astype(object)}
    )
    current = Profile(edges=edges_of(reference))
    moved = {
        "x": rng.normal(0.2, 1, 10_000),
        "c": rng.choice(["a", "b"], 10_000, p=[0.6, 0.4]).astype(object),
    }
    current.update(moved)
    window = Window(key=WindowKey("delay", 0, 1, 1, "stable"), window_s=60, features=current)
    none = parse_settings("{psi_max: 1, ks_max: 1}", DriftLimit, "limit")
    assert not any(one.breached for one in judge_drift(none, window, reference))
    for name, value, statistic, words in (
        ("wasserstein_max", 0.1, "wasserstein", "Wasserstein distance of x"),
        ("jensen_shannon_max", 0.05, "js", "Jensen-Shannon distance of"),
        ("chi_square_max", 0.1, "chi_square", "Chi-square effect of"),
    ):
        limit = parse_settings(f"{{psi_max: 1, ks_max: 1, {name}: {value}}}", DriftLimit, "limit")
        found = [one for one in judge_drift(limit, window, reference) if one.breached]
        assert found, name
        assert found[0].statistic == statistic
        assert words in found[0].sentence
        assert compare_profiles(reference, current, limit=limit).changed[0].state == "drifted"
    report = {one.name: one for one in compare_profiles(reference, current).features}
    assert report["x"].wasserstein == pytest.approx(0.2, abs=0.04)
    assert report["c"].wasserstein is None
    assert report["c"].chi_square == pytest.approx(0.2, abs=0.03)


def test_a_column_without_spread_or_rows_has_no_distance_to_tell() -> None:
    constant = drift_of(np.full(2_000, 5.0), np.full(2_000, 6.0))
    assert constant.wasserstein is None
    assert constant.jensen_shannon == pytest.approx(1.0)
    nothing = np.zeros(3)
    for function in (jensen_shannon, chi_square_effect):
        assert function(nothing, np.ones(3)) == function(np.ones(3), nothing) == 0.0
    for noise in (shannon_noise, chi_square_noise):
        assert noise(1, 10, 10) == noise(5, 0, 10) == 0.0
    assert wasserstein(np.zeros(1), np.ones(1), np.ones(1)) == 0.0
    assert wasserstein_noise(np.arange(3.0), np.ones(3), 1.0, (0, 5)) == 0.0
    for text in ("{jensen_shannon_max: 2}", "{wasserstein_max: -1}", "{chi_square_max: -0.1}"):
        with pytest.raises(Invalid, match=r"not negative|a distance"):
            parse_settings(text, DriftLimit, "limit")
