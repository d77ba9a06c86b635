"""What settings of penstock.yaml let out that those before did not."""

from __future__ import annotations

from penstock.base.settings import parse_settings
from penstock.flows.ci.holding.guarding import GROWN, WATCHED
from penstock.flows.ci.holding.loosening import list_loosened, settings_at
from penstock.monitoring.settings import (
    EndpointSettings,
    MonitorSettings,
    RetrainSettings,
    RolloutSettings,
    TrafficSettings,
)
from penstock.project.settings import CiSettings, ProjectSettings
from projects import Sample

KEYS = [f"ed25519:{letter * 43}=" for letter in "AB"]


ANOTHER = "is another: what is live there, or lies there, is not what this was compared with"
ALERTED = "alerts:\n  webhooks:\n  - url: https://a.example.org/secret\n"
COMPARED = frozenset(
    [
        "model",
        "models",
        "gates",
        "endpoints",
        "protected_aliases",
        "trusted_keys",
        "alerts",
        "webhooks",
        "ci",
        "store",
        "artifacts",
    ]
)
LETS_NOTHING_OUT = frozenset(["project", "lineage", "retention", "recording"])
OF_ENDPOINTS = (
    (EndpointSettings, "model rollout monitor traffic guardrails on_breach retrain", ""),
    (TrafficSettings, "rules other_versions", "shadows timeout_s backlog weight"),
    (RetrainSettings, "command rev", "on"),
    (CiSettings, "tests deploy", "install image on oidc"),
    (MonitorSettings, " ".join(WATCHED) + " payloads", ""),
    (RolloutSettings, " ".join(GROWN) + " min_labels steps", ""),
)
"""What of settings is compared, and what lets nothing out: how requests are taken, and what files of CI systems say."""


def test_every_setting_is_compared_or_known_to_let_nothing_out() -> None:
    assert {*ProjectSettings.__struct_fields__} == COMPARED | LETS_NOTHING_OUT
    for kind, compared, rest in OF_ENDPOINTS:
        assert {*kind.__struct_fields__} == {*compared.split(), *rest.split()}, kind


def _settings(text: str) -> ProjectSettings:
    return parse_settings(f"project: sample\n{text}", ProjectSettings, "penstock.yaml")


def test_what_lets_more_out_is_told_and_what_does_not_is_not() -> None:
    endpoint = "endpoints: {delay: {model: late, rollout: {steps: [%s, 100]}}}\n"
    for before, after, told in (
        ("", "ci: {deploy: promote}", ("ci.deploy was raised: none → promote",)),
        ("ci: {deploy: rollout}", "ci: {deploy: full}", ("ci.deploy was raised: rollout → full",)),
        ("ci: {deploy: full}", "ci: {deploy: rollout}", ()),
        ("", "ci: {tests: pytest}", ()),
        ("ci: {tests: pytest}", "", ("ci.tests were removed",)),
        ("ci: {tests: pytest}", "ci: {tests: 'true'}", ("ci.tests are others now: `pytest` → `true`",)),
        (f"trusted_keys: ['{KEYS[0]} ada']", f"trusted_keys: ['{KEYS[0]} bob']", ()),
        (f"trusted_keys: {KEYS}", f"trusted_keys: ['{KEYS[1]}']", ()),
        (
            f"trusted_keys: ['{KEYS[0]}']",
            f"trusted_keys: ['{KEYS[1]}']",
            (f"a key is trusted that was not: {KEYS[1]}",),
        ),
        ("", "protected_aliases: [other]", ("no longer protected: champion",)),
        (
            f"{endpoint % 5}ci: {{deploy: rollout}}",
            f"{endpoint % 50}ci: {{deploy: rollout}}",
            ("the first share of delay was raised: 5 % → 50 %",),
        ),
        ("", "store: sqlite:///mine.db", (f"`store` {ANOTHER}",)),
        ("artifacts: a", "artifacts: b", (f"`artifacts` {ANOTHER}",)),
        (ALERTED, "", ("alerts no longer go to a.example.org as they did",)),
        (ALERTED, f"{ALERTED}  - url: http://b.example.org/\n", ()),
        (ALERTED, ALERTED.replace("secret", "other"), ("alerts no longer go to a.example.org as they did",)),
        ("", "webhooks: {allow_private: true}", ("webhooks of clients may lead into private networks",)),
        ("webhooks: {allow_private: true}", "", ()),
        ("", "retention: {windows_days: 3}\nrecording: {max_bytes: 2000000}\nlineage: {file: a}", ()),
        (f"{endpoint % 50}ci: {{deploy: rollout}}", f"{endpoint % 5}ci: {{deploy: rollout}}", ()),
    ):
        assert list_loosened(_settings(before), _settings(after)) == told, (before, after)


def test_settings_of_a_commit_that_git_does_not_know_are_none(sample: Sample) -> None:
    known = settings_at(sample.git, sample.git.head())
    assert known is not None and known.model is not None
    for commit in (None, "", "0" * 40, "HEAD~500"):
        assert settings_at(sample.git, commit) is None
