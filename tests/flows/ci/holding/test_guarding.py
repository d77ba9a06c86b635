"""What endpoints are guarded by less than before."""

from __future__ import annotations

from penstock.base.settings import parse_settings
from penstock.flows.ci.holding.loosening import list_changed, list_loosened
from penstock.project.settings import ProjectSettings


def _settings(endpoint: str) -> ProjectSettings:
    text = f"project: sample\nendpoints: {{delay: {{model: late@champion{endpoint}}}}}\n"
    return parse_settings(text, ProjectSettings, "penstock.yaml")


def _guards(entries: str, on_breach: str = "[rollback, alert]") -> str:
    return f", on_breach: {on_breach}, guardrails: [{entries}]"


ERRORS = "errors: {max_ratio: 0.05}"
QUALITY = "quality: {metric: roc_auc, min: 0.7, min_labels: 150}"
DRIFT = "drift: {psi_max: 0.2}"


def test_what_guards_less_is_told_and_its_reverse_is_not() -> None:
    guards, removed = "a guardrail of delay", "a guardrail of delay was removed"
    for before, after, told in (
        (_guards(f"{{{ERRORS}}}"), _guards(""), f"{removed}: errors"),
        (_guards(f"{{{QUALITY}}}"), _guards(""), f"{removed}: quality roc_auc"),
        (_guards(f"{{{ERRORS}}}"), _guards("{errors: {max_ratio: 0.5}}"), f"{guards} lets more pass: errors (max_ratio 0.05 → 0.5)"),
        (_guards(f"{{{QUALITY}}}"), _guards(f"{{{QUALITY.replace('0.7', '0.1')}}}"), f"{guards} lets more pass: quality roc_auc (min 0.7 → 0.1)"),
        (_guards(f"{{{QUALITY}}}"), _guards(f"{{{QUALITY.replace('150', '900')}}}"), f"{guards} lets more pass: quality roc_auc (min_labels 150 → 900)"),
        (_guards("{latency: {p99_ms: 50}}"), _guards("{latency: {p99_ms: 90}}"), f"{guards} lets more pass: latency (p99_ms 50.0 → 90.0)"),
        (_guards(f"{{{DRIFT}}}"), _guards("{drift: {psi_max: 0.2, features: [wind]}}"), f"{guards} lets more pass: drift (features any → [\"wind\"])"),
        (_guards(f"{{{DRIFT}, action: rollback}}"), _guards(f"{{{DRIFT}, action: alert}}"), f"{guards} no longer rolls back: drift"),
        (", monitor: {window_s: 60}", ", monitor: {window_s: 600}", "delay is watched less: window_s 60 → 600"),
        (", rollout: {hold_s: 60}", ", rollout: {hold_s: 1}", "the rollout of delay asks for less: hold_s 60.0 → 1.0"),
        ("", ", rollout: {unjudged: allow}", "the rollout of delay asks for less: unjudged hold → allow"),
        (", rollout: {steps: [5, 50, 100]}", ", rollout: {steps: [5, 100]}", "the rollout of delay has fewer steps: 5, 50, 100 → 5, 100"),
        (", rollout: {min_labels: 90}", ", rollout: {min_labels: 5}", "the rollout of delay asks for less: labels 90 → 5"),
        ("", ", traffic: {other_versions: 2}", "delay answers with more versions: other_versions 0 → 2"),
        ("", ", traffic: {rules: [{version: 3, header: beta, equals: yes}]}", "a rule of delay sends requests to version 3 that went elsewhere"),
        (", monitor: {payloads: {redact: [name]}}", ", monitor: {payloads: {}}", "delay keeps values that were redacted: name"),
        ("", ", retrain: {on: drift, command: ./mine}", "a finding on delay begins a command: `./mine`"),
    ):  # fmt: skip
        assert list_loosened(_settings(before), _settings(after)) == (told,), after
        assert list_loosened(_settings(after), _settings(before)) == (), after
        assert list_loosened(_settings(before), _settings(before)) == (), before


def test_what_a_finding_begins_otherwise_is_told_in_both_directions_and_how_requests_are_taken_is_not() -> (
    None
):
    retrain = ", retrain: {on: %s, command: %s, rev: %s}"
    before = _settings(retrain % ("[drift, quality]", "penstock ci run", "main"))
    for values, told in (
        (("drift", "penstock ci run", "main"), ()),
        (("drift", "./mine", "main"), ("a finding on delay begins with another command: `penstock ci run` → `./mine`",)),
        (("drift", "penstock ci run", "trial"), ("a finding on delay begins with another rev: `main` → `trial`",)),
    ):  # fmt: skip
        assert list_loosened(before, _settings(retrain % values)) == told
    rule = "{version: %d, header: beta, equals: %s}"
    rules = ", traffic: {rules: [" + ", ".join((rule % (1, "a"), rule % (2, "b"))) + "]}"
    turned = ", traffic: {rules: [" + ", ".join((rule % (2, "b"), rule % (1, "a"))) + "]}"
    assert list_loosened(_settings(rules), _settings(turned)) == (
        "the rules of delay are asked in another order",
    )
    taken = _settings(", traffic: {shadows: [late/3], timeout_s: 9, backlog: 9, weight: 3}")
    assert list_loosened(_settings(""), taken) == ()
    assert list_changed(_settings(""), taken) == tuple(
        f"endpoints.delay.traffic.{key}" for key in ("shadows", "timeout_s", "backlog", "weight")
    )
    new = _settings(", retrain: {on: drift, command: ./mine}")
    bare = parse_settings("project: sample\n", ProjectSettings, "penstock.yaml")
    assert list_loosened(bare, new) == ("a finding on delay begins a command: `./mine`",)


def test_a_breach_that_no_longer_rolls_back_and_another_model_are_told() -> None:
    guarded = _settings(_guards(f"{{{ERRORS}}}, {{{DRIFT}, action: alert}}"))
    assert list_loosened(guarded, _settings(_guards(f"{{{DRIFT}, action: alert}}, {{{ERRORS}}}"))) == ()
    told = list_loosened(guarded, _settings(_guards(f"{{{ERRORS}}}, {{{DRIFT}, action: alert}}", "[alert]")))
    assert told == (
        "a guardrail of delay no longer rolls back: errors",
        "on_breach of delay is no longer rollback",
    )
    other = parse_settings(
        "project: sample\nendpoints: {delay: {model: m}}\n", ProjectSettings, "penstock.yaml"
    )
    assert list_loosened(_settings(""), other) == ("delay answers with m, before late@champion",)
    bare = parse_settings("project: sample\n", ProjectSettings, "penstock.yaml")
    assert list_loosened(_settings(""), bare) == (
        "endpoint delay is no longer declared, and guarded by nothing",
    )
    assert list_loosened(bare, _settings("")) == ()
