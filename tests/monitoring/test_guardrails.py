from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Invalid
from penstock.base.settings import parse_settings
from penstock.base.store.database import Database
from penstock.monitoring.findings import add_findings, list_findings
from penstock.monitoring.guardrails import Reference, judge
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality import Quality
from penstock.monitoring.settings import GuardrailEntry, RolloutSettings
from penstock.monitoring.windows import Window, WindowKey


def entry(text: str) -> GuardrailEntry:
    return parse_settings(text, GuardrailEntry, "penstock.yaml")


def window(route: str = "stable", **values: Any) -> Window:
    return Window(key=WindowKey("delay", 600, 3, 2, route), window_s=60, **values)


def latencies(values: Any) -> LatencyHistogram:
    made = LatencyHistogram()
    made.update(values)
    return made


ERRORS = "errors: {max_ratio: 0.01}"
LATENCY = "latency: {p99_ms: 50}"
DRIFT = "drift: {features: any, psi_max: 0.25, action: alert}"
QUALITY = "quality: {metric: roc_auc, max_drop: 0.03}"


def scored(rng: np.random.Generator, rows: int, effect: float) -> Quality:
    labels = (rng.random(rows) < 0.3).astype(float)
    return Quality.of(1 / (1 + np.exp(-(rng.normal(size=rows) + effect * labels))), labels)


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_breach_of_errors_is_always_over_its_limit(errors: int, requests: int) -> None:
    errors = min(errors, requests)
    found = judge(
        [entry(ERRORS)],
        stable=window(request_count=requests, error_count=errors),
        canary=None,
        reference=None,
    )
    assert len(found) == (1 if requests >= 20 else 0)
    if found and found[0].breached:
        assert found[0].observed > 0.01
    if requests >= 20 and errors > requests / 2:
        assert found[0].breached


def test_errors_at_their_limit_raise_no_more_alarms_than_stated() -> None:
    rng = np.random.default_rng(1)
    guard = [entry(ERRORS)]
    breaches = 0
    for errors in rng.binomial(500, 0.01, size=2000).tolist():
        (found,) = judge(
            guard, stable=window(request_count=500, error_count=errors), canary=None, reference=None
        )
        breaches += found.breached
    assert breaches <= 8


def test_latency_is_breached_when_surely_more_than_its_share_is_slower() -> None:
    rng = np.random.default_rng(2)
    fast = rng.lognormal(np.log(0.01), 0.4, 2000)
    calm = window(latency=latencies(fast), request_count=2000)
    slow = window("canary", latency=latencies(fast * 10), request_count=2000)
    first, second = judge([entry(LATENCY)], stable=calm, canary=slow, reference=None)
    assert (first.breached, second.breached) == (False, True)
    assert second.observed > 0.05 > first.observed
    assert second.route == "canary"


def test_one_slow_request_is_no_breach() -> None:
    found = judge(
        [entry(LATENCY)], stable=window(latency=latencies([0.001] * 25 + [5.0])), canary=None, reference=None
    )
    assert not found[0].breached


def test_drift_names_every_feature_over_the_limit_or_the_largest() -> None:
    rng = np.random.default_rng(3)

    def table(rows: int, shift: float) -> Profile:
        return Profile.of(
            {"a": rng.normal(shift, 1, rows), "b": rng.normal(shift, 1, rows), "c": rng.normal(size=rows)}
        )

    reference = Reference(profile=table(10_000, 0))
    moved = judge([entry(DRIFT)], stable=window(features=table(500, 1)), canary=None, reference=reference)
    assert sorted(one.name for one in moved) == ["a", "b"]
    assert all(one.breached and one.action == "alert" for one in moved)
    (calm,) = judge([entry(DRIFT)], stable=window(features=table(500, 0)), canary=None, reference=reference)
    assert not calm.breached
    only_c = entry("drift: {features: [c], psi_max: 0.25}")
    (found,) = judge([only_c], stable=window(features=table(500, 1)), canary=None, reference=reference)
    assert (found.name, found.breached) == ("c", False)


def test_a_worse_canary_is_found_and_an_equal_one_never() -> None:
    rng = np.random.default_rng(4)
    guard = [entry(QUALITY)]
    worse = equal = 0
    for _ in range(300):
        stable = window(quality=scored(rng, 2000, 1.0))
        equal += judge(
            guard, stable=stable, canary=window("canary", quality=scored(rng, 400, 1.0)), reference=None
        )[0].breached
        worse += judge(
            guard, stable=stable, canary=window("canary", quality=scored(rng, 400, 0.0)), reference=None
        )[0].breached
    assert equal <= 3
    assert worse >= 290


def test_stable_quality_is_compared_with_the_offline_metric() -> None:
    rng = np.random.default_rng(5)
    live = window(quality=scored(rng, 2000, 0.3))
    (found,) = judge(
        [entry(QUALITY)], stable=live, canary=None, reference=Reference(metrics={"roc_auc": 0.71})
    )
    assert found.breached
    assert found.against == 0.71
    assert "its offline evaluation" in found.sentence
    assert judge([entry(QUALITY)], stable=live, canary=None, reference=Reference()) == []


def test_too_few_labels_give_no_finding() -> None:
    rng = np.random.default_rng(6)
    few = window("canary", quality=scored(rng, 150, 0.0))
    assert [one.route for one in judge([entry(QUALITY)], stable=window(quality=scored(rng, 2000, 2.0)), canary=few, reference=None)] == []  # fmt: skip


def test_for_a_loss_a_rise_is_the_drop() -> None:
    rng = np.random.default_rng(7)
    guard = entry("quality: {metric: brier, max_drop: 0.01}")
    live = window(quality=scored(rng, 3000, 0.0))
    (found,) = judge([guard], stable=live, canary=None, reference=Reference(metrics={"brier": 0.1}))
    assert found.breached


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{errors: {max_ratio: 0.1}, latency: {p99_ms: 5}}",
        "errors: {max_ratio: 2}",
        "latency: {}",
        "latency: {p99_ms: 5, p95_ms: 5}",
        "quality: {metric: f1, max_drop: 0.1}",
        "drift: {psi_max: 0.1, action: explode}",
    ],
)
def test_settings_that_make_no_sense_are_told_with_their_line(text: str) -> None:
    with pytest.raises(Invalid, match=r"penstock\.yaml:1"):
        entry(text)


@pytest.mark.parametrize(
    "text", ["steps: []", "steps: [5, 5]", "steps: [50, 5]", "steps: [0]", "steps: [101]"]
)
def test_rollout_steps_must_grow_within_100_percent(text: str) -> None:
    with pytest.raises(Invalid):
        parse_settings(text, RolloutSettings, "penstock.yaml")


def test_the_guardrails_own_action_stands_in_its_findings() -> None:
    both = [entry("{errors: {max_ratio: 0.5}, action: rollback}"), entry(ERRORS)]
    found = judge(both, stable=window(request_count=100), canary=None, reference=None)
    assert [one.action for one in found] == ["rollback", None]


def test_findings_survive_the_store(database: Database) -> None:
    found = judge(
        [entry(ERRORS)], stable=window(request_count=100, error_count=50), canary=None, reference=None
    )
    with database.write() as connection:
        ids = add_findings(connection, found)
    with database.read() as connection:
        (stored,) = list_findings(connection, "delay", breached=True)
        assert list_findings(connection, "delay", breached=False) == []
        assert list_findings(connection, "delay", before_id=ids[0]) == []
    assert (stored.id, stored.finding) == (ids[0], found[0])
