"""What is not judged, by every reason, is told in the same sentence with its next command wherever it is told."""

from __future__ import annotations

import html
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from flows.production.endpoints import World, scored
from penstock.cli.main import cli
from penstock.cli.production.endpoint import ANSWERS
from penstock.http.app import build_server_app
from penstock.http.prometheus.judgement import JudgementMetrics
from penstock.monitoring.findings import Unjudged
from penstock.monitoring.guardrails.next_steps import NEXT
from penstock.monitoring.profile import Profile
from penstock.processes.controller import ControllerLoop

COLUMNS = {"a": np.arange(1000.0), "b": np.arange(1000.0)}
SILENT = """\
model: m
monitor: {window_s: 1, windows: 10}
guardrails: [{errors: {max_ratio: 0.02}}, {latency: {p99_ms: 5}}]
"""
BUSY = """\
model: m
monitor: {window_s: 1, windows: 10, feature_ratio: 0.0}
guardrails:
  - errors: {max_ratio: 0.02}
  - drift: {features: [nosuch], psi_max: 0.2}
  - drift: {features: [a], psi_max: 0.2, min_rows: 5000}
  - quality: {metric: roc_auc, max_drop: 0.1}
  - quality: {metric: accuracy, max_drop: 0.1}
  - multivariate: {auc_max: 0.65}
  - outliers: {max_ratio: 0.05}
"""
CASES = {
    "errors": ("too_few", "3 of 20 requests yet", "more traffic is needed"),
    "drift": ("feature_unknown", "no feature 'nosuch'", "penstock endpoint apply delay"),
    "quality": ("too_few", "30 of 200 labels yet", "penstock feedback delay sends labels"),
    "multivariate": ("no_reference", "reference", "penstock model register"),
    "outliers": ("no_reference", "reference", "penstock model register"),
}


def test_every_reason_has_a_next_command() -> None:
    assert set(NEXT) == set(get_args(Unjudged))


def test_show_status_page_and_metrics_tell_the_same_of_every_guardrail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.version(4, profile=Profile.of(COLUMNS), roc_auc=0.8)
    world.policy(BUSY)
    world.deploy(4)
    world.traffic("stable", 3, features=Profile.of(COLUMNS), quality=scored(30, 1.0))
    loop = ControllerLoop(world.project)
    loop._controller.tick()
    seen = loop._controller.observations["delay"]
    unjudged = [one for one in seen.findings if one.unjudged is not None]
    for kind, (reason, words, command) in CASES.items():
        assert any(
            (one.kind, one.unjudged) == (kind, reason) and words in one.sentence and command in one.sentence
            for one in unjudged
        ), (kind, [one.sentence for one in unjudged])
    assert any(one.unjudged == "metric_absent" for one in unjudged)
    monkeypatch.chdir(world.project.root)
    loop.health = replace(loop.health, looks=loop._controller.looks)
    page = html.unescape(
        TestClient(build_server_app(world.project, loop)).get("/endpoints/delay?span=all").text
    )
    told = {
        "show": CliRunner().invoke(cli, ["endpoint", "show", "delay"]).output,
        "status": CliRunner().invoke(cli, ["monitor", "status", "delay"]).output,
        "page": page,
    }
    for place, text in told.items():
        for one in unjudged:
            sentence = one.sentence
            if place == "show":  # which does not lead to itself
                sentence = sentence.replace("penstock endpoint show delay tells what answers", ANSWERS)
            if place == "status" and sentence not in text:  # which says once what holds for several
                _route, _, why = sentence.partition(" not judged: ")
                (line,) = [told for told in text.splitlines() if told.endswith(f"not judged: {why}")]
                assert one.name in line and one.kind in line and one.route in line, line
                continue
            assert sentence in text, (place, sentence)
    assert "penstock endpoint show delay" not in told["show"]
    metrics = JudgementMetrics(loop, "1").render().decode()
    for one in unjudged:
        name = "features" if one.kind == "drift" else one.name
        series = f'kind="{one.kind}",name="{name}",reason='
        assert series in metrics, one.sentence
    world.policy(SILENT)
    shown = CliRunner().invoke(cli, ["monitor", "status", "delay"]).output
    assert "error_ratio, p99 are not judged: " in shown


def test_what_several_guardrails_lack_is_said_once_and_the_times_of_the_numbers_are_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.version(4, profile=Profile.of(COLUMNS), roc_auc=0.8)
    entries = "".join(
        f"  - latency: {{p{rank}_ms: {limit}}}\n" for rank, limit in ((99, 5), (95, 4), (99, 9))
    )
    world.policy(
        "model: m\nmonitor: {window_s: 1, windows: 10}\nguardrails:\n  - errors: {max_ratio: 0.02}\n"
        + entries
    )
    world.deploy(4)
    world.traffic("stable", 3, quality=scored(30, 1.0))
    monkeypatch.chdir(world.project.root)
    told = CliRunner().invoke(cli, ["monitor", "status", "delay"]).output.splitlines()
    (line,) = [one for one in told if one.startswith("?")]
    assert line.startswith(
        "?       errors, latency: stable version 4: error_ratio, p99, p95 are not judged: 3 of 20 requests yet ("
    )
    (span,) = [one for one in told if one.startswith("span")]
    assert "requests, errors and times of " in span and "labels of predictions since " in span
