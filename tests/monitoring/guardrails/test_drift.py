from __future__ import annotations

import numpy as np

from monitoring.traffic import window
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.drift import judge_drift
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import DriftLimit


def judged(before: np.ndarray, now: np.ndarray, limit: DriftLimit) -> list[Finding]:
    return list(judge_drift(limit, window(features=Profile.of({"x": now})), Profile.of({"x": before})))


def test_a_shift_that_the_index_alone_would_miss_is_found_by_the_distance() -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(size=20_000), rng.normal(0.5, 1, 1000)
    (found,) = judged(before, now, DriftLimit(psi_max=0.5))
    assert (found.breached, found.statistic, found.limit) == (True, "ks", 0.1)
    assert "Kolmogorov-Smirnov distance of x" in found.sentence
    (both_off,) = judged(before, now, DriftLimit(psi_max=0.5, ks_max=1.0))
    assert (both_off.breached, both_off.statistic) == (False, "psi")


def test_twenty_features_without_drift_alarm_almost_never() -> None:
    rng = np.random.default_rng(2)
    names = [f"f{index}" for index in range(20)]
    reference = Profile.of({name: rng.normal(size=20_000) for name in names})
    for _ in range(25):
        current = Profile.of({name: rng.normal(size=1000) for name in names})
        (found,) = judge_drift(DriftLimit(), window(features=current), reference)
        assert not found.breached


def test_too_few_rows_give_no_finding_and_new_texts_are_told() -> None:
    texts = np.array(["a", "b"] * 2000, dtype=object)
    assert judged(texts, texts[:100], DriftLimit()) == []
    (found,) = judged(texts, np.array(["a", "z"] * 400, dtype=object), DriftLimit())
    assert found.breached
    assert "50.0% never seen in the reference" in found.sentence


def test_a_feature_that_only_just_holds_says_so_and_others_do_not() -> None:
    limit = DriftLimit(psi_max=0.5, ks_max=1.0)
    rng = np.random.default_rng(4)
    before = rng.normal(size=20_000)
    for shift, state, near in ((1.0, "breached", False), (0.67, "held", True), (0.0, "held", False)):
        now = before[:5000] + shift
        (found,) = judged(before, now, limit)
        assert (found.state, found.near) == (state, near), found.sentence
    reference = Profile.of({"a": before, "b": before})
    live = window(features=Profile.of({"a": before[:5000] + 1.0, "b": before[:5000] + 0.67}))
    told = {one.name: one.state for one in judge_drift(limit, live, reference)}
    assert told == {"a": "breached", "b": "held"}
