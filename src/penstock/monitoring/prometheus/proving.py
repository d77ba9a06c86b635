"""Promtool's tests of rules: every case of every alert, those that cannot meet in one test.

Setting up a test takes promtool as long as a hundred evaluations. Two cases share one when no metric that
one alert reads is among those of the other, so neither changes what the other sees. Promtool compares all alerts of a
name, so what keeps those of other endpoints still is in a test too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.monitoring.prometheus.rules import Case, Group, Rule

METRIC = re.compile(r"[a-z_]*:?penstock_[a-z_]+(?::\w+)?")


def tests_of(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Return the tests of all alerts, as promtool reads them."""
    rules = [rule for group in groups for rule in group.rules]
    recorded = {rule.name: rule.expr for rule in rules if not rule.is_alert}
    tests: list[tuple[set[str], list[tuple[Rule, Case]]]] = []
    for rule in (one for one in rules if one.is_alert):
        reads = metrics_of(rule.expr, recorded)
        for case in rule.cases:
            place = next((one for one in tests if not one[0] & reads), None)
            if place is None:
                place = (set(), [])
                tests.append(place)
            place[0].update(reads)
            place[1].append((rule, case))
    return [_test(pairs, rules) for _, pairs in tests]


def metrics_of(expr: str, recorded: Mapping[str, str]) -> set[str]:
    """Return the metrics that an expression reads, those behind recorded ones too.

    Example:
        >>> sorted(metrics_of("a:penstock_b:c > penstock_d", {"a:penstock_b:c": "sum(penstock_e)"}))
        ['penstock_d', 'penstock_e']
    """
    found: set[str] = set()
    for name in METRIC.findall(expr):
        found |= metrics_of(recorded[name], recorded) if name in recorded else {name}
    return found


def _test(pairs: Sequence[tuple[Rule, Case]], rules: Sequence[Rule]) -> dict[str, Any]:
    names = {rule.name for rule, _ in pairs}
    tested = [rule for rule, _ in pairs]
    stills = [one for rule in rules if rule.name in names and rule not in tested for one in rule.stills]
    return {
        "name": "; ".join(f"{rule.name}: {case.name}" for rule, case in pairs),
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values}
            for series, values in (*(one for _, case in pairs for one in case.series), *stills)
        ],
        "alert_rule_test": [
            {"eval_time": case.at, "alertname": rule.name, "exp_alerts": list(_expected(rule, case))}
            for rule, case in pairs
        ],
    }


def _expected(rule: Rule, case: Case) -> Iterable[dict[str, Any]]:
    if case.fires is not None:
        labels = {**case.fires, **rule.labels}
        told = {name: _filled(text, labels) for name, text in rule.annotations.items()}
        yield {"exp_labels": labels, "exp_annotations": told}


def _filled(text: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels.get(found[1], ""), text)
