"""The file of rules that policies make, and the file of promtool's tests of it."""

from __future__ import annotations

from collections.abc import Container, Mapping

import msgspec

from penstock.monitoring.prometheus.judgements import judgement_alerts
from penstock.monitoring.prometheus.objectives import alerts_of, untold
from penstock.monitoring.prometheus.processes import controller_alerts
from penstock.monitoring.prometheus.proving import tests_of
from penstock.monitoring.prometheus.recording import recorded
from penstock.monitoring.prometheus.rules import Group, Rule, render_rules, render_yaml
from penstock.monitoring.settings import EndpointSettings

COMMENT = "Written by `penstock monitor rules` from the policies of {}; changes are lost."


class RuleFile(msgspec.Struct, frozen=True, kw_only=True):
    """Rules for Prometheus. `notes` say what of the policies no rule can hold."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]
    text: str

    @property
    def alerts(self) -> tuple[Rule, ...]:
        """The alerts, in order."""
        return tuple(rule for group in self.groups for rule in group.rules if rule.is_alert)

    def render_tests(self, name: str) -> str:
        """Return promtool's tests of the rules, which stand in a file of this name beside them."""
        return render_yaml(
            {
                "rule_files": [name],
                "evaluation_interval": "1m",
                "tests": tests_of(self.groups),
            }
        )


def make_rules(
    policies: Mapping[str, EndpointSettings],
    server_url: str = "",
    *,
    batch: Container[str] = (),
    unwatched: Container[str] = (),
) -> RuleFile:
    """Return the rules for endpoints by name; the same policies give the same bytes.

    Args:
        server_url: where the pages are; alerts then link to them.
        batch: the endpoints that batch jobs alone answer for.
        unwatched: those that no policy is to watch.
    """
    names = sorted(policies)
    own = [
        Group(
            name=f"penstock.endpoint.{name}",
            rules=tuple(
                alerts_of(name, policies[name], is_served=name not in batch, is_watched=name not in unwatched)
            ),
        )
        for name in names
    ]
    groups = (
        *recorded(),
        Group(name="penstock.judgement", rules=judgement_alerts()),
        Group(name="penstock.processes", rules=controller_alerts()),
        *own,
    )
    if server_url:
        groups = tuple(_linked(group, server_url.rstrip("/")) for group in groups)
    return RuleFile(
        groups=groups,
        notes=tuple(f"{name}: {note}" for name in names for note in untold(policies[name])),
        text=render_rules(groups, COMMENT.format(", ".join(names) or "no endpoint")),
    )


def _linked(group: Group, url: str) -> Group:
    return msgspec.structs.replace(group, rules=tuple(_with_page(rule, url) for rule in group.rules))


def _with_page(rule: Rule, url: str) -> Rule:
    if not rule.is_alert:
        return rule
    is_of_endpoint = "endpoint" in rule.labels or "$labels.endpoint" in "".join(rule.annotations.values())
    page = f"{url}/endpoints/{{{{ $labels.endpoint }}}}" if is_of_endpoint else f"{url}/"
    return msgspec.structs.replace(rule, annotations={**rule.annotations, "page": page})
