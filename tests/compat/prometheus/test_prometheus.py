"""The real Prometheus and Alertmanager on ours: what rules and panels ask has an answer, and alerts arrive."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compat.prometheus.running import Stack
from penstock.flows.observing.alerting import prove_rules
from penstock.monitoring.grafana.provisioning import grafana_files
from projects import Sample
from servers.programs import missing
from serving.fixtures import released_root, two_versions_root
from stories.live import wait_until, webhook

__all__ = ["released_root", "two_versions_root"]
pytestmark = pytest.mark.slow
SELECTOR = re.compile(r"([a-z_]*:?penstock_[a-z_]+(?::\w+)?|process_[a-z_]+)(\{[^}]*\})?")
LABELS = re.compile(r"(\w+)(?:=~|!~|!=|=)\"")
HIDDEN = ("_created",)
"""Made by the library beside every counter and histogram: when it began."""


@pytest.fixture(scope="module")
def alerts() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with webhook() as made:
        yield made


@pytest.fixture(scope="module")
def stack(
    two_versions_root: Path,
    alerts: tuple[str, list[dict[str, Any]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Everything under a little load, until there is something to tell of all."""
    for program in ("prometheus", "promtool", "prometheus-alertmanager"):
        if shutil.which(program) is None:
            missing(program, "prometheus prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("prometheus")
    sample = Sample.copy(two_versions_root, folder / "project")
    running = Stack(sample.root, folder, alerts[0])
    try:
        running.start()
        running.load()
        wait_until(lambda: len(running.values("penstock_quality_error")) > 0)
        wait_until(lambda: len(running.values("penstock_feature_drift_ks")) > 0)
        wait_until(lambda: len(running.values("penstock_open_breaches")) > 0)
        yield running
    finally:
        running.stop()


def expressions() -> list[str]:
    """Return what panels ask, with the reader's choices made."""
    files = grafana_files("http://127.0.0.1:9090", "/x")
    found = []
    for name, data in files.items():
        panels = json.loads(data)["panels"] if name.endswith(".json") else []
        found += [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [
        re.sub(r"\$(endpoint|route|feature)", ".+", one.replace("$__rate_interval", "30s")) for one in found
    ]


def named(exprs: list[str]) -> set[str]:
    """Return the metrics that expressions name, without what histograms add; recorded ones are left out."""
    names = {name for expr in exprs for name, _ in SELECTOR.findall(expr) if ":" not in name}
    return {re.sub(r"_(bucket|sum|count)$", "", one) for one in names}


def test_everything_that_rules_record_and_panels_ask_has_values(stack: Stack) -> None:
    recorded = [rule.expr for group in stack.rules.groups for rule in group.rules if not rule.is_alert]
    asked = [*recorded, *expressions()]
    silent = list(asked)

    def all_tell() -> bool:
        stack.load(20)
        silent[:] = [expr for expr in silent if not stack.values(expr)]  # what told once has told
        return not silent

    try:
        wait_until(all_tell)
    finally:
        assert silent == []


def test_what_alerts_look_at_is_there_with_the_labels_they_choose_by(stack: Stack) -> None:
    for rule in stack.rules.alerts:
        for name, selector in SELECTOR.findall(rule.expr):
            labels = LABELS.findall(selector)
            asked = ",".join(f'{label}!=""' for label in labels)
            assert stack.values(f"count({name}{{{asked}}})"), f"{rule.name}: {name}{selector}"


def test_every_metric_is_known_to_a_panel_or_rule_and_those_know_no_other(stack: Stack) -> None:
    told = {
        line.split()[2]
        for name in stack.urls
        for line in stack.scrape(name).splitlines()
        if line.startswith("# TYPE penstock_") and not line.split()[2].endswith(HIDDEN)
    }
    rules = [rule.expr for group in stack.rules.groups for rule in group.rules]
    known = {one for one in named([*rules, *expressions()]) if one.startswith("penstock_")}
    assert {"known to nobody": sorted(told - known), "never told": sorted(known - told)} == {
        "known to nobody": [],
        "never told": [],
    }


def test_promtool_accepts_metrics_and_rules_and_every_case_holds(stack: Stack) -> None:
    for name in stack.urls:
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=stack.scrape(name),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), name
    assert prove_rules(stack.rules) > 60


def test_a_rollback_arrives_by_the_alertmanager(
    stack: Stack, alerts: tuple[str, list[dict[str, Any]]]
) -> None:
    assert stack.query('penstock_rollbacks_total{by="controller"} == 0')
    stack.fail_canary()

    def arrived() -> list[dict[str, Any]]:
        every = [one for message in list(alerts[1]) for one in message["alerts"]]
        return [one for one in every if one["labels"]["alertname"] == "PenstockRolledBack"]

    wait_until(lambda: bool(arrived()))
    (first, *_) = arrived()
    assert first["status"] == "firing"
    assert first["labels"] == {"alertname": "PenstockRolledBack", "endpoint": "delay", "severity": "warning"}
    assert first["annotations"]["summary"] == "delay was rolled back by the controller"
