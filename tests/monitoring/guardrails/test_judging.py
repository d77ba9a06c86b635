from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.base.errors import Invalid
from penstock.base.settings import parse_settings
from penstock.base.store.database import Database
from penstock.monitoring.findings import Finding, add_findings, list_findings
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.judging import Traffic, judge
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality import Quality
from penstock.monitoring.settings import GuardrailEntry, RolloutSettings
from penstock.monitoring.windows import Window, WindowKey


def entry(text: str) -> GuardrailEntry:
    return parse_settings(text, GuardrailEntry, "penstock.yaml")


def window(route: str = "stable", **values: Any) -> Window:
    return Window(key=WindowKey("delay", 600, 3, 2, route), window_s=60, **values)


ERRORS = "errors: {max_ratio: 0.01}"
DRIFT = "drift: {features: any, psi_max: 0.25, action: alert}"
QUALITY = "quality: {metric: roc_auc, max_drop: 0.03}"


def judge_windows(
    guardrails: list[GuardrailEntry],
    *,
    stable: Window,
    canary: Window | None,
    reference: Reference | None,
) -> list[Finding]:
    """Judge whole windows as the traffic of their routes."""

    def traffic(one: Window) -> Traffic:
        reference_of = reference or Reference()
        return Traffic(key=one.key, recent=one, labelled=one, blocks=(Block.of(one),), reference=reference_of)

    return judge(guardrails, traffic(stable), traffic(canary) if canary else None)


def scored(rng: np.random.Generator, rows: int, effect: float) -> Quality:
    labels = (rng.random(rows) < 0.3).astype(float)
    return Quality.of(1 / (1 + np.exp(-(rng.normal(size=rows) + effect * labels))), labels)


def test_drift_names_every_feature_over_the_limit_or_the_largest() -> None:
    rng = np.random.default_rng(3)

    def table(rows: int, shift: float) -> Profile:
        return Profile.of(
            {"a": rng.normal(shift, 1, rows), "b": rng.normal(shift, 1, rows), "c": rng.normal(size=rows)}
        )

    reference = Reference(profile=table(10_000, 0))
    moved = judge_windows(
        [entry(DRIFT)], stable=window(features=table(500, 1)), canary=None, reference=reference
    )
    assert sorted(one.name for one in moved) == ["a", "b"]
    assert all(one.breached and one.action == "alert" for one in moved)
    (calm,) = judge_windows(
        [entry(DRIFT)], stable=window(features=table(500, 0)), canary=None, reference=reference
    )
    assert not calm.breached
    only_c = entry("drift: {features: [c], psi_max: 0.25}")
    (found,) = judge_windows(
        [only_c], stable=window(features=table(500, 1)), canary=None, reference=reference
    )
    assert (found.name, found.breached) == ("c", False)


def test_a_worse_canary_is_found_and_an_equal_one_never() -> None:
    rng = np.random.default_rng(4)
    guard = [entry(QUALITY)]
    worse = equal = 0
    for _ in range(300):
        stable = window(quality=scored(rng, 2000, 1.0))
        equal += judge_windows(
            guard, stable=stable, canary=window("canary", quality=scored(rng, 400, 1.0)), reference=None
        )[-1].breached
        worse += judge_windows(
            guard, stable=stable, canary=window("canary", quality=scored(rng, 400, 0.0)), reference=None
        )[-1].breached
    assert equal <= 3
    assert worse >= 290


def test_stable_quality_is_compared_with_the_offline_metric() -> None:
    rng = np.random.default_rng(5)
    live = window(quality=scored(rng, 2000, 0.3))
    (found,) = judge_windows(
        [entry(QUALITY)], stable=live, canary=None, reference=Reference(metrics={"roc_auc": 0.71})
    )
    assert found.breached
    assert found.against == 0.71
    assert "its offline evaluation" in found.sentence


def test_too_few_labels_of_a_canary_are_told_and_not_judged() -> None:
    rng = np.random.default_rng(6)
    few = window("canary", quality=scored(rng, 150, 0.0))
    stable = window(quality=scored(rng, 2000, 2.0))
    guard = [entry("quality: {metric: roc_auc, max_drop: 0.03, against: stable}")]
    (found,) = judge_windows(guard, stable=stable, canary=few, reference=None)
    assert (found.route, found.unjudged, found.is_waiting) == ("canary", "too_few", True)
    assert "150 of 200 labels yet" in found.sentence
    assert judge_windows(guard, stable=stable, canary=None, reference=None) == []


def test_for_a_loss_a_rise_is_the_drop() -> None:
    rng = np.random.default_rng(7)
    guard = entry("quality: {metric: brier, max_drop: 0.01}")
    live = window(quality=scored(rng, 3000, 0.0))
    (found,) = judge_windows([guard], stable=live, canary=None, reference=Reference(metrics={"brier": 0.1}))
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
    found = judge_windows(both, stable=window(request_count=100), canary=None, reference=None)
    assert [one.action for one in found] == ["rollback", None]


def test_findings_survive_the_store(database: Database) -> None:
    found = judge_windows(
        [entry(ERRORS)], stable=window(request_count=100, error_count=50), canary=None, reference=None
    )
    with database.write() as connection:
        ids = add_findings(connection, found)
    with database.read() as connection:
        (stored,) = list_findings(connection, "delay", breached=True)
        assert list_findings(connection, "delay", breached=False) == []
        assert list_findings(connection, "delay", before_id=ids[0]) == []
    assert (stored.id, stored.finding) == (ids[0], found[0])
