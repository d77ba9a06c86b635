from __future__ import annotations

import numpy as np
import pytest

from penstock.monitoring.drift import compare
from penstock.monitoring.profile import Profile


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
