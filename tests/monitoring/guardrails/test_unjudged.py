"""A guardrail that cannot be judged says so, with its reason; it is never silently well."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.base.settings import parse_settings
from penstock.monitoring.guardrails.judging import judge
from penstock.monitoring.guardrails.measured import Reference
from penstock.monitoring.guardrails.next_steps import next_step
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import GuardrailEntry
from penstock.monitoring.windows import Window, WindowKey

KEY = WindowKey("delay", 600, 3, 2, "stable")
COLUMNS = {"a": np.arange(1000.0), "b": np.arange(1000.0)}
BUSY = Window(key=KEY, window_s=60, request_count=1000, row_count=1000, features=Profile.of(COLUMNS))
REFERENCE = Reference(profile=Profile.of(COLUMNS), metrics={"roc_auc": 0.8})


@pytest.mark.parametrize(
    ("guardrail", "traffic", "reason", "words"),
    [
        ("errors: {max_ratio: 0.01}", Traffic(key=KEY), "no_traffic", "no traffic yet"),
        ("latency: {p99_ms: 5}", Traffic(key=KEY, last_s=50_520), "no_traffic", "since 1970-01-01 14:02"),
        (
            "errors: {max_ratio: 0.01}",
            Traffic(key=KEY, recent=Window(key=KEY, window_s=60, request_count=3)),
            "too_few",
            "3 of 20 requests yet",
        ),
        ("drift: {psi_max: 0.2}", Traffic(key=KEY, recent=BUSY), "no_reference", "without a reference"),
        (
            "drift: {features: [nosuch], psi_max: 0.2}",
            Traffic(key=KEY, recent=BUSY, reference=REFERENCE),
            "feature_unknown",
            "no feature 'nosuch'",
        ),
        (
            "drift: {psi_max: 0.2, min_rows: 5000}",
            Traffic(key=KEY, recent=BUSY, reference=REFERENCE),
            "too_few",
            "1,000 of 5,000 rows yet",
        ),
        (
            "quality: {metric: accuracy, max_drop: 0.1}",
            Traffic(key=KEY, recent=BUSY, reference=REFERENCE),
            "metric_absent",
            "no offline accuracy",
        ),
        (
            "quality: {metric: roc_auc, max_drop: 0.1}",
            Traffic(key=KEY, recent=BUSY, reference=Reference(outputs=frozenset({"prediction"}))),
            "no_probability",
            "no output `probability`",
        ),
        (
            "quality: {metric: roc_auc, max_drop: 0.1}",
            Traffic(key=KEY, recent=BUSY, reference=REFERENCE),
            "too_few",
            "0 of 200 labels yet",
        ),
    ],
)
def test_what_is_not_judged_says_why(guardrail: str, traffic: Traffic, reason: str, words: str) -> None:
    entry = parse_settings(guardrail, GuardrailEntry, "penstock.yaml")
    (found,) = judge([entry], traffic)
    assert (found.state, found.unjudged, found.breached) == ("unjudged", reason, False)
    assert words in found.sentence
    assert found.sentence.endswith(f"({next_step(found.kind, reason, 'delay')})")  # type: ignore[arg-type]
    assert found.is_waiting == (reason in {"too_few", "no_traffic"})


def test_known_features_are_judged_beside_an_unknown_one() -> None:
    entry = parse_settings("drift: {features: [a, nosuch], psi_max: 0.2}", GuardrailEntry, "penstock.yaml")
    found = judge([entry], Traffic(key=KEY, recent=BUSY, reference=REFERENCE))
    assert {one.name: one.state for one in found} == {"a": "held", "nosuch": "unjudged"}


def test_what_no_traffic_would_change_is_not_called_waiting() -> None:
    numbers = Reference(profile=Profile.of(COLUMNS), metrics={"rmse": 3.0, "r2": 0.4})
    for guardrail, sliced, reason, words in (
        ("freshness: {column: made, max_age_s: 60}", (), "feature_unknown", "no feature 'made'"),
        ("slices: {metric: rmse, max_drop: 0.1}", ("cariér",), "feature_unknown", "no feature 'cariér'"),
        ("slices: {metric: f1, max_drop: 0.1}", ("a",), "metric_absent", "f1 is a metric of classes"),
        (
            "quality: {metric: roc_auc, against: stable, max_drop: 0.1}",
            (),
            "metric_absent",
            "the model answers numbers: its metrics are r2, rmse",
        ),
    ):
        entry = parse_settings(guardrail, GuardrailEntry, "penstock.yaml")
        traffic = Traffic(key=KEY, recent=BUSY, reference=numbers, sliced=sliced)
        found = judge([entry], traffic, traffic) if entry.quality else judge([entry], traffic)
        lasting = [one for one in found if one.unjudged == reason]
        assert lasting and words in lasting[0].sentence, guardrail
        assert not any(one.is_waiting for one in found), guardrail


def test_a_time_that_comes_is_judged_though_the_reference_does_not_have_it() -> None:
    entry = parse_settings("freshness: {column: a, max_age_s: 60}", GuardrailEntry, "penstock.yaml")
    other = Reference(profile=Profile.of({"b": np.arange(9.0)}))
    (found,) = judge([entry], Traffic(key=KEY, recent=BUSY, reference=other))
    assert found.unjudged is None


def test_the_sentence_agrees_in_number_with_what_it_names() -> None:
    for guardrail, words in (
        ("drift: {psi_max: 0.2}", "features are not judged: no traffic yet"),
        ("drift: {features: [a], psi_max: 0.2}", ": a is not judged: no traffic yet"),
        ("errors: {max_ratio: 0.1}", "error_ratio is not judged: no traffic yet"),
    ):
        entry = parse_settings(guardrail, GuardrailEntry, "penstock.yaml")
        (found,) = judge([entry], Traffic(key=KEY, reference=REFERENCE))
        assert words in found.sentence, found.sentence
