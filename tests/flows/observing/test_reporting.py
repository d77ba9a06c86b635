"""The report of an endpoint: its traffic, quality, drift and events since a time, as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from flows.production.endpoints import World, scored
from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound
from penstock.flows.observing.picturing import draw_report
from penstock.flows.observing.reporting import SPANS_MAX, only_endpoint, report_endpoint
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.reporting.markdown import endpoint_markdown
from penstock.monitoring.reporting.pages import render_endpoint
from penstock.monitoring.reporting.posters import endpoint_poster
from penstock.monitoring.reporting.spans import EndpointReport, Estimate
from penstock.monitoring.variation import reference_profile
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials

POLICY = """\
model: m@champion
monitor: {window_s: 60, windows: 10}
guardrails:
  - errors: {max_ratio: 0.02}
  - drift: {psi_max: 0.2}
  - quality: {metric: roc_auc, max_drop: 0.1, min_labels: 100}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An endpoint whose traffic drifts for two hours, and a canary that fails in the second one."""
    made = World(tmp_path_factory.mktemp("reporting"))
    rng = np.random.default_rng(0)
    texts = rng.choice(["<b>AA</b>", "DL"], 5000)
    before = {"hour": rng.integers(0, 24, 5000), "wind": rng.normal(10, 3, 5000), "carrier": texts}
    made.version(1, profile=reference_profile(before), roc_auc=0.75)
    made.version(2)
    made.policy(POLICY)
    made.deploy(1)
    made.deploy(1, 2)
    now_s = now_ms() // 1000
    partials: list[Any] = []
    for minute in range(120):
        for route, version, requests in (("stable", 1, 80), ("canary", 2, 20)):
            if route == "canary" and minute < 60:
                continue
            latency = LatencyHistogram()
            latency.update(rng.gamma(2, 0.005 + 0.00005 * minute, requests).tolist())
            features = {
                "hour": rng.integers(0, 24, 200),
                "wind": rng.normal(10 + minute / 30, 3, 200),
                "carrier": rng.choice(["<b>AA</b>", "DL", "new"], 200, p=[0.4, 0.5, 0.1]),
            }
            window = Window(
                key=WindowKey("delay", now_s - 7200 + 60 * minute, 2, version, route),
                window_s=60,
                request_count=requests,
                error_count=requests // 4 if route == "canary" else 0,
                row_count=200,
                latency=latency,
                features=Profile.of(features),
                quality=scored(60, 1.0, seed=minute),
            )
            partials.append(Partial(window=window, worker=1, sequence=len(partials)))
    with made.project.database.write() as connection:
        add_partials(connection, partials)
    yield made
    made.project.close()


@pytest.fixture(scope="module")
def report(world: World) -> EndpointReport:
    return report_endpoint(world.project, "delay", now_ms() - 3 * 3_600_000)


def test_traffic_is_told_by_version_with_intervals_of_quality(report: EndpointReport) -> None:
    stable, canary = report.versions
    assert (stable.route, stable.version, stable.request_count) == ("stable", 1, 9600)
    assert (canary.request_count, canary.error_ratio) == (1200, 0.25)
    auc = stable.quality["roc_auc"]
    assert auc.low is not None
    assert auc.high is not None
    assert auc.low < auc.value < auc.high < auc.low + 0.1
    assert Estimate.of("accuracy", (0.99, 0.1)).high == 1.0 and Estimate.of("f1", (0.1, 0.2)).low == 0.0
    assert Estimate.of("r2", (-2.0, 0.5)).low == pytest.approx(-2.98)
    assert Estimate.of("accuracy", (0.7, float("nan"))) == Estimate(0.7)
    assert report.sentence.startswith("10,800 requests, 2.78% of them failed; 10,800 labels. 2 of 3 features")


def test_what_changed_is_ranked_and_drift_is_told_over_time(report: EndpointReport) -> None:
    assert report.features is not None
    assert {one.name for one in report.features.changed} == {"wind", "carrier"}
    assert len({one.start_s for one in report.spans}) <= SPANS_MAX + 1
    drift = [one.drift["wind"] for one in report.spans if one.route == "stable"]
    assert drift[-1] > 0.5
    assert drift[0] < 0.1
    assert all(not one.drift for one in report.spans if one.route == "canary")
    assert [one.kind for one in report.events] == ["policy.applied"]


def test_only_what_came_since_is_told(world: World) -> None:
    late = report_endpoint(world.project, "delay", now_ms() - 600_000)
    assert 0 < late.versions[0].request_count <= 800
    none = report_endpoint(world.project, "delay", now_ms() + 1000)
    breached = "Breached: errors on canary, drift on stable."
    assert none.sentence == f"No requests in this time. {breached}"
    assert "No rows" in none.features_note
    assert "<h1>Endpoint delay</h1>" in render_endpoint(none)
    assert "No rows" in endpoint_markdown(none)


class Page(HTMLParser):
    """What a reader of the page meets: addresses, tags that are open, pictures without words."""

    VOID = frozenset({"meta", "rect", "line", "circle", "polyline", "polygon", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.mute: list[str] = []
        self.headings: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag == "svg" and not (given.get("role") == "img" and given.get("aria-label")):
            self.mute.append(tag)
        if tag == "th" and "scope" not in given:
            self.mute.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that is closed at once."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag


def test_the_page_needs_nothing_else_and_says_what_its_pictures_show(report: EndpointReport) -> None:
    text = render_endpoint(report)
    page = Page(text)
    assert page.open == []
    assert page.mute == []
    assert page.headings[0] == "h1"
    assert all(address.startswith("#f") for address in page.addresses)
    assert "<script" not in text
    assert "url(" not in text
    assert "http" not in text
    assert "@media print" in text
    assert "<b>AA" not in text
    assert "&lt;b&gt;AA" in text
    assert text.count("<svg") == 5 + 3
    assert len(text) < 300_000


def test_the_picture_shows_what_is_said_its_lines_and_what_changed_most(report: EndpointReport) -> None:
    poster = endpoint_poster(report)
    texts = [one.text or "" for one in ElementTree.fromstring(poster).iter() if one.tag.endswith("}text")]
    for words in ("Endpoint delay", "Requests", "Latency, p99 in ms", "stable", "canary", "wind", "carrier"):
        assert words in texts, words
    assert any("roc_auc" in one for one in texts)
    assert draw_report(report).startswith(b"\x89PNG")


def test_markdown_has_the_same_in_tables(report: EndpointReport) -> None:
    text = endpoint_markdown(report)
    assert text.startswith("# Endpoint delay\n\n")
    assert "| stable | 1 | 9,600 | 0.00% |" in text
    assert "| wind | drifted | mean " in text
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| ")}
    assert widths == {8, 7, 3, 2}


def test_the_only_endpoint_needs_no_name_and_an_unknown_one_is_told(world: World, tmp_path: Path) -> None:
    assert only_endpoint(world.project) == "delay"
    with pytest.raises(NotFound, match="nosuch"):
        report_endpoint(world.project, "nosuch", 0)
    empty = World(tmp_path)
    with pytest.raises(NotFound, match="no endpoint"):
        only_endpoint(empty.project)
    for number, name in enumerate(("a", "b"), start=1):
        empty.version(number)
        empty.deploy(number, endpoint=name)
    with pytest.raises(Invalid, match="2 endpoints"):
        only_endpoint(empty.project)
    empty.project.close()


def test_a_report_to_hand_on_has_no_value_of_a_redacted_column(world: World) -> None:
    with_secrets = report_endpoint(world.project, "delay", now_ms() - 3 * 3_600_000)
    assert "'DL'" in with_secrets.features.features[0].sentence + str(with_secrets.features)  # type: ignore[union-attr]
    world.policy(POLICY.replace("windows: 10}", "windows: 10, payloads: {redact: [carrier]}}"))
    world.deploy(1, 2)
    try:
        report = report_endpoint(world.project, "delay", now_ms() - 3 * 3_600_000)
        carrier = next(one for one in report.features.features if one.name == "carrier")  # type: ignore[union-attr]
        assert carrier.psi is not None and carrier.bars
        for said in (
            render_endpoint(report),
            endpoint_markdown(report),
            msgspec.json.encode(report).decode(),
        ):
            assert "AA" not in said and ">DL<" not in said and '"DL"' not in said
    finally:
        world.policy(POLICY)
        world.deploy(1, 2)
