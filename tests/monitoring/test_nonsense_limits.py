"""Limits that nothing can meet, or nothing can break: refused where the file is read, and loaded where they are stored."""

from __future__ import annotations

import msgspec
import pytest

from penstock.base.errors import Invalid
from penstock.base.settings import parse_settings
from penstock.monitoring.settings import EndpointSettings

NONSENSE = (
    ("latency: {p99_ms: 0}", "p99_ms is a number of milliseconds above 0"),
    ("latency: {p95_ms: -5}", "p95_ms is a number of milliseconds above 0"),
    ("latency: {p99_ms: 1.0e+300}", "up to 1e+09"),
    ("quality: {metric: accuracy, min: 2}", "accuracy is never above 1"),
    ("quality: {metric: accuracy, min: -3}", "accuracy is never below 0"),
    ("quality: {metric: accuracy, min: 0}", "accuracy is never below 0"),
    ("quality: {metric: r2, min: 1.5}", "r2 is never above 1"),
    ("quality: {metric: rmse, max: -1}", "rmse is never below 0"),
    ("quality: {metric: brier, max: 2}", "brier is never above 2"),
    ("quality: {metric: roc_auc, max_drop: 7}", "roc_auc is from 0 to 1"),
    ("quality: {metric: accuracy, max_drop: 1}", "accuracy is from 0 to 1"),
    ("quality: {metric: accuracy, max_drop: 0.1, min_labels: 0}", "min_labels is at least 1"),
    ("slices: {metric: f1, max_drop: 1.5}", "f1 is from 0 to 1"),
    ("drift: {psi_max: 0}", "psi_max is above 0"),
    ("drift: {ks_max: 0}", "ks_max is above 0"),
    ("drift: {min_rows: 0}", "min_rows is at least 1"),
    ("drift: {features: []}", "features is empty"),
)
SENSE = (
    "latency: {p99_ms: 0.001}",
    "quality: {metric: accuracy, min: 1}",
    "quality: {metric: r2, min: -3}",
    "quality: {metric: mae, max: 0}",
    "quality: {metric: mae, max_drop: 700}",
    "quality: {metric: roc_auc, max_drop: 0}",
    "drift: {ks_max: 1, psi_max: 3}",
)


def policy(guardrail: str) -> str:
    return f"model: m\nguardrails:\n  - errors: {{max_ratio: 0.1}}\n  - {guardrail}\n"


@pytest.mark.parametrize(("guardrail", "words"), NONSENSE)
def test_a_limit_that_nothing_can_meet_or_break_is_refused_in_its_line(guardrail: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_settings(policy(guardrail), EndpointSettings, "penstock.yaml")
    assert caught.value.message.startswith("penstock.yaml:4: ") and words in caught.value.message
    assert "in `guardrails[1]." in caught.value.message


def test_what_can_be_met_and_broken_is_taken() -> None:
    for guardrail in SENSE:
        parse_settings(policy(guardrail), EndpointSettings, "penstock.yaml")


def test_a_policy_that_was_stored_before_is_read_all_the_same() -> None:
    for kind, limit in (("latency", {"p99_ms": 0}), ("quality", {"metric": "accuracy", "min": 2})):
        stored = {"model": "m", "guardrails": [{kind: limit}]}
        assert msgspec.convert(stored, EndpointSettings).guardrails[0].kind == kind
