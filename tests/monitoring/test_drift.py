from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import ks_2samp

from penstock.monitoring.bins import NumberBins
from penstock.monitoring.drift import SKETCH_ERROR, FeatureDrift, compare
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import DriftLimit
from penstock.monitoring.variation import reference_profile
from penstock.stats.distances import population_stability


def table(rng: np.random.Generator, rows: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    return {
        "normal": rng.normal(shift, 1, rows),
        "month": rng.integers(1, 4, rows),
        "carrier": rng.choice(np.array(["AA", "UA", "DL", "B6"], dtype=object), rows),
        "rare": np.where(rng.random(rows) < 0.05, rng.normal(size=rows), np.nan),
    }


@pytest.mark.parametrize("rows", [100, 500, 5000])
def test_samples_of_one_distribution_never_drift(rows: int) -> None:
    rng = np.random.default_rng(11)
    reference = Profile.of(table(rng, 20_000))
    for _ in range(60):
        for one in compare(reference, Profile.of(table(rng, rows))):
            assert one.psi < 0.25 or one.psi < one.noise, one
            assert one.psi < max(0.02, one.noise), one


def test_a_shift_is_found_in_its_column_first() -> None:
    rng = np.random.default_rng(12)
    reference = Profile.of(table(rng, 20_000))
    first, *others = compare(reference, Profile.of(table(rng, 2000, shift=1.0)))
    assert first.feature == "normal"
    assert first.psi > 0.5
    assert first.ks == pytest.approx(0.383, abs=0.04)
    assert all(one.psi < 0.05 for one in others)


def test_a_unit_change_a_new_category_and_lost_values_are_drift() -> None:
    rng = np.random.default_rng(13)
    reference = Profile.of(table(rng, 20_000))
    broken = table(rng, 1000)
    broken["month"] = broken["month"] * 30
    broken["carrier"] = np.full(1000, "ZZ", dtype=object)
    broken["normal"] = np.full(1000, np.nan)
    found = {one.feature: one for one in compare(reference, Profile.of(broken))}
    assert all(found[name].psi > 1 for name in ("month", "carrier", "normal"))
    assert found["normal"].missing_ratio_current == 1.0
    assert found["normal"].ks is None


def test_a_column_that_no_longer_comes_is_missing_everywhere() -> None:
    rng = np.random.default_rng(14)
    current = table(rng, 500)
    del current["carrier"]
    found = compare(Profile.of(table(rng, 5000)), Profile.of(current))
    assert found[0].feature == "carrier"
    assert found[0].missing_ratio_current == 1.0


def test_nothing_to_compare_is_no_drift() -> None:
    profile = Profile.of({"a": np.arange(5.0)})
    assert compare(Profile(), profile) == []
    assert compare(profile, Profile()) == []


def drift(before: object, now: object) -> FeatureDrift:
    """Return the drift of one column given by its values, missing ones as None."""
    made = []
    for values in (before, now):
        array = np.asarray(values)
        made.append(reference_profile({"x": array}))
    return compare(*made)[0]


def test_constants_flags_and_caps_are_seen_wherever_they_go() -> None:
    five = np.full(5000, 5.0)
    for other in (0.0, 4.0, 6.0):
        assert drift(five, np.full(1000, other)).psi > 5
    assert drift(five, np.full(1000, 5.0)).psi == 0.0
    rng = np.random.default_rng(21)
    flag = (rng.random(20_000) < 0.98).astype(int)
    assert drift(flag, (rng.random(2000) < 0.5).astype(int)).psi > 0.5
    assert drift((rng.random(20_000) < 0.95).astype(int), np.zeros(2000, dtype=int)).psi > 1
    assert drift(flag, (rng.random(2000) < 0.98).astype(int)).psi < 0.02
    capped = np.minimum(rng.normal(size=20_000), 1.0)
    assert drift(capped, rng.normal(size=2000)).psi > 0.5


def test_booleans_with_nulls_are_the_same_as_without() -> None:
    rng = np.random.default_rng(22)
    plain = rng.random(5000) < 0.4
    nullable = (rng.random(2000) < 0.4).astype(object)
    nullable[:20] = None
    assert drift(plain, nullable).psi < 0.05
    assert drift(nullable, plain).psi < 0.05


def test_texts_of_many_kinds_are_seen() -> None:
    rng = np.random.default_rng(23)

    def names(rows: int, prefix: str = "user") -> np.ndarray:
        return np.array([f"{prefix}{one}" for one in rng.integers(0, 5000, rows)], dtype=object)

    users = names(50_000)
    assert drift(users, np.full(1000, "UNKNOWN", dtype=object)).psi > 2
    renamed = drift(users, names(1000, "customer"))
    assert renamed.psi > 1 and renamed.unseen_ratio is not None and renamed.unseen_ratio > 0.9
    same = drift(users, names(2000))
    assert same.psi <= max(0.1, same.noise)
    assert same.unseen_ratio is not None and same.unseen_ratio < 0.05


def test_rare_categories_that_vanish_are_seen() -> None:
    rng = np.random.default_rng(24)
    weights = np.array([0.02] * 20 + [0.0075] * 80)
    kinds = np.array([f"k{one}" for one in range(100)], dtype=object)
    before = rng.choice(kinds, 50_000, p=weights)
    left = np.where(np.arange(100) < 60, weights, 0.0)
    assert drift(before, rng.choice(kinds, 5000, p=left / left.sum())).psi > 0.1
    assert drift(before, rng.choice(kinds, 5000, p=weights)).psi < 0.05


def test_the_same_parts_give_the_same_number_at_every_look() -> None:
    rng = np.random.default_rng(25)
    reference = Profile.of({"x": rng.normal(size=50_000)})
    parts = [Profile.of({"x": rng.normal(0.4, 1, 700)}).to_bytes() for _ in range(90)]
    found = set()
    for _ in range(3):
        whole = Profile()
        for part in parts:
            whole = whole.merge(Profile.from_bytes(part))
        found.add((compare(reference, whole)[0].psi, compare(reference, whole)[0].ks))
        stored = Profile.from_bytes(whole.to_bytes())
        assert compare(reference, stored)[0].psi == pytest.approx(compare(reference, whole)[0].psi, abs=0.01)
    assert len(found) == 1


def test_index_and_distance_are_within_a_hundredth_of_the_exact_ones() -> None:
    rng = np.random.default_rng(26)
    draws = {
        "normal": (rng.normal(size=50_000), rng.normal(0.3, 1.1, 20_000)),
        "heavy": (rng.standard_t(2, 50_000), rng.standard_t(2, 20_000) * 1.3),
        "whole": (rng.poisson(3, 50_000), rng.poisson(3.4, 20_000)),
    }
    for name, (before, now) in draws.items():
        found = drift(before, now)
        bins = NumberBins(Profile.of({"x": before}).column("x"))  # type: ignore[arg-type]
        counts = [np.bincount(bins.places(one)).astype(float) for one in (before, now)]
        width = max(map(len, counts))
        exact = population_stability(*(np.pad(one, (0, width - len(one))) for one in counts))
        assert found.psi == pytest.approx(exact, abs=0.01), name
        assert found.ks is not None
        assert found.ks == pytest.approx(ks_2samp(before, now).statistic, abs=0.01), name


def test_the_distance_that_is_told_is_the_one_that_scipy_tells_within_the_error_of_the_sketches() -> None:
    rng = np.random.default_rng(31)
    normal = rng.normal(size=5_000)
    pairs = {
        "same": (normal, rng.normal(size=2_000)),
        "near": (normal, rng.normal(0.25, 1, 2_000)),
        "far": (normal, rng.normal(1, 1, 2_000)),
        "constant": (np.full(5_000, 3.0), np.full(2_000, 3.5)),
        "few": (rng.normal(size=300), rng.normal(0.25, 1, 300)),
    }
    for name, (before, now) in pairs.items():
        found = drift(before, now)
        assert found.ks is not None
        assert found.ks == pytest.approx(ks_2samp(before, now).statistic, abs=SKETCH_ERROR), name
    assert drift(*pairs["constant"]).ks == 1.0
    assert drift(*pairs["few"]).ks_error == 0.0, "few rows are known exactly"


def test_half_a_standard_deviation_is_found_by_the_defaults() -> None:
    rng = np.random.default_rng(27)
    reference = reference_profile({"x": rng.normal(size=50_000)})
    limit = DriftLimit()
    for _ in range(100):
        window = Profile.of({"x": rng.normal(0.5, 1, 1000)})
        found = compare(reference, window)[0]
        assert found.ks is not None
        assert found.ks - found.ks_error > max(limit.ks_max, found.ks_noise) or found.psi > max(
            limit.psi_max, found.noise
        )


@pytest.mark.parametrize("kind", ["independent", "chain", "groups"])
def test_a_reference_that_varies_over_time_makes_no_alarm(kind: str) -> None:
    """Chains of correlation 0.9, and groups of 50 rows with one value, as hours with one weather."""
    rng = np.random.default_rng(28)

    def rows(count: int) -> np.ndarray:
        if kind == "independent":
            return rng.normal(size=count)
        if kind == "groups":
            return np.repeat(rng.normal(size=count // 50 + 1), 50)[:count]
        return lfilter([np.sqrt(1 - 0.81)], [1, -0.9], rng.normal(size=count + 100))[100:]

    reference = reference_profile({"x": rows(100_000)})
    limit, alarms = DriftLimit(), 0
    for _ in range(200):
        found = compare(reference, Profile.of({"x": rows(1000)}))[0]
        assert found.ks is not None
        alarms += found.psi > max(limit.psi_max, found.noise) or found.ks - found.ks_error > max(
            limit.ks_max, found.ks_noise
        )
    assert alarms == 0


def test_a_reference_keeps_its_variation_in_its_bytes() -> None:
    rng = np.random.default_rng(29)
    made = reference_profile({"x": rng.normal(size=5000), "t": np.array(["a", "b"] * 2500, dtype=object)})
    again = Profile.from_bytes(made.to_bytes())
    assert again.variation == made.variation and set(again.variation) == {"x", "t"}
    assert again.digest == made.digest
    assert reference_profile({"x": np.arange(50.0)}).variation == {}
