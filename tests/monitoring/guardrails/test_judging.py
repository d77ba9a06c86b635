from __future__ import annotations

import numpy as np
import pytest

from monitoring.traffic import window
from penstock.base.errors import Invalid
from penstock.base.settings import parse_settings
from penstock.base.store.database import Database
from penstock.monitoring.findings import Finding, add_findings, list_findings
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.judging import judge
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import GuardrailEntry, RolloutSettings
from penstock.monitoring.windows import Window


def entry(text: str) -> GuardrailEntry:
    return parse_settings(text, GuardrailEntry, "penstock.yaml")


ERRORS = "errors: {max_ratio: 0.01}"
DRIFT = "drift: {features: any, psi_max: 0.25, action: alert}"


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


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{errors: {max_ratio: 0.1}, latency: {p99_ms: 5}}",
        "errors: {max_ratio: 2}",
        "latency: {}",
        "latency: {p99_ms: 5, p95_ms: 5}",
        "quality: {metric: gini, max_drop: 0.1}",
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
