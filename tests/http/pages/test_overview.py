"""The overview: the worst first, from the controller's last look where it is fresh, with rollouts and traffic."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from penstock.base.clock import now_ms
from penstock.flows.production import overview as overview_module
from penstock.flows.production.controlling.health import ControllerHealth
from penstock.flows.production.controlling.responding import Controller
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.overview import FRESH_MS, overview
from penstock.flows.production.revising import apply_deployment
from penstock.http.app import build_server_app
from penstock.http.pages import looks as looks_module
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.policies import PolicyBody, put_policy
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.settings import DriftLimit, EndpointSettings, GuardrailEntry
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.project.project import Project
from projects import Sample


@pytest.fixture
def project(two_versions_root: Path, tmp_path: Path) -> Iterator[Project]:
    """`delay` serves `late/1`, with `late/2` as canary and some traffic; some of it failed."""
    sample = Sample.copy(two_versions_root, tmp_path / "project")
    project = sample.project
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    apply_deployment(project, plan_deployment(project, "delay", "late/2", canary=20.0))
    latency = LatencyHistogram()
    latency.update([0.01, 0.02, 0.5])
    now = int(time.time())
    partials = [
        Partial(
            window=Window(
                key=WindowKey("delay", now - 60 + place, 1, 1, "stable"),
                window_s=1, request_count=300, quality=Quality.of(np.array([0.1, 0.9]), np.array([0.0, 1.0])), error_count=place % 2, row_count=300, latency=latency,
            ),
            worker=1,
            sequence=place,
        )
        for place in range(6)
    ]  # fmt: skip
    with project.database.write() as connection:
        add_partials(connection, partials)
    yield project
    sample.close()


class Seen:
    """A controller that looked."""

    def __init__(self, health: ControllerHealth) -> None:
        self.health = health


def test_pages_show_what_the_controller_found_and_when(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = Controller(project)
    controller.tick()
    found = controller.observations
    assert set(found) == {"delay"}
    kept = found["delay"].stable.recent
    assert kept is None or kept.features.row_count == 0  # no sketch is kept alive

    looks: list[str] = []
    observe = overview_module.observe
    monkeypatch.setattr(
        overview_module, "observe", lambda *given: (looks.append(given[1]), observe(*given))[1]
    )
    shown = overview(project, found)
    assert looks == []  # the page looks at nothing itself
    assert shown[0].looked_ms == found["delay"].time_ms
    assert [(one.kind, one.name, one.state) for one in shown[0].findings] == [
        (one.kind, one.name, one.state) for one in found["delay"].findings
    ]
    judged = (found["delay"].stable, found["delay"].canary)
    assert [one.request_count for one in shown[0].routes] == [
        one.recent.request_count if one.recent else 0 for one in judged if one is not None
    ]

    old = {"delay": replace(found["delay"], time_ms=now_ms() - FRESH_MS - 1)}
    assert overview(project, old)[0].looked_ms > found["delay"].time_ms
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    assert overview(project, found)[0].revision == found["delay"].revision.number + 1
    assert looks == ["delay", "delay"]
    controller.close()


def test_a_quick_look_keeps_the_quality_of_the_whole_one(project: Project) -> None:
    controller = Controller(project)
    controller.tick()
    first = controller.observations["delay"]
    with project.database.write() as connection:  # something failed: it is looked at again, quickly
        window = Window(
            key=WindowKey("delay", int(time.time()), 1, 1, "stable"),
            window_s=1,
            request_count=9,
            error_count=9,
        )
        add_partials(connection, [Partial(window=window, worker=1, sequence=99)])
    controller.tick()
    second = controller.observations["delay"]
    assert second.time_ms > first.time_ms
    assert first.stable.labelled is not None
    assert second.stable.labelled is not None
    assert second.stable.labelled.quality.label_count == first.stable.labelled.quality.label_count == 12
    assert second.step.keys() == first.step.keys()
    controller.close()


def test_a_card_tells_what_is_wrong_how_far_the_rollout_is_and_what_to_type(project: Project) -> None:
    app = build_server_app(project, Seen(ControllerHealth(now_ms(), 1, None)))
    text = TestClient(app).get("/").text
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))
    for words in (
        "1 of 1 endpoint needs you: delay is down.",
        "no serve process is running",
        "20 % →",
        "penstock serve",
        "1,800 requests in 6 windows, 3 failed",
    ):
        assert words in plain, words
    assert text.count('class="failed"') == 3
    assert text.index('class="card bad"') > 0


def test_without_a_controller_pages_look_once_for_all_until_the_look_is_old(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    observe = looks_module.observe
    monkeypatch.setattr(looks_module, "observe", lambda *given: (looks.append(given[1]), observe(*given))[1])
    client = TestClient(build_server_app(project, Seen(ControllerHealth(None, 0, None))))
    texts = [
        client.get(address).text for address in ("/", "/endpoints/delay", "/endpoints", "/endpoints/delay")
    ]
    assert looks == ["delay"]
    assert all("late/1" in one for one in texts)
    assert 'aria-label="Table: Guardrails"' in texts[1] or "No guardrail is set" in texts[1]
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    client.get("/endpoints/delay")
    assert looks == ["delay", "delay"]
    later = now_ms() + FRESH_MS + 1
    monkeypatch.setattr(looks_module, "now_ms", lambda: later)
    client.get("/")
    assert len(looks) == 3


def test_pages_wait_for_a_controller_that_has_just_begun_and_do_not_look_beside_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(looks_module, "observe", lambda *given: looks.append(given[1]))
    controller = Controller(project)
    seen = Seen(ControllerHealth(None, 0, None, is_beginning=True))
    waits: list[float] = []

    def first_look(seconds: float) -> None:
        waits.append(seconds)
        controller.tick()
        seen.health = ControllerHealth(now_ms(), 1, None, observations=dict(controller.observations))

    monkeypatch.setattr(looks_module.time, "sleep", first_look)
    text = TestClient(build_server_app(project, seen)).get("/").text
    assert (len(waits), looks) == (1, [])
    assert "late/1" in text
    controller.close()


def test_pages_show_what_a_slow_controller_found_and_do_not_look_beside_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = Controller(project)
    controller.tick()
    found = controller.observations["delay"]
    slow = replace(found, time_ms=now_ms() - 6 * FRESH_MS)
    looked: list[object] = []
    for module in (looks_module, overview_module):
        monkeypatch.setattr(module, "observe", lambda *given: looked.append(given))
    health = ControllerHealth(slow.time_ms, 1, None, observations={"delay": slow})
    client = TestClient(build_server_app(project, Seen(health)))
    for address in ("/", "/endpoints", "/endpoints/delay", "/endpoints/delay?from=2026-01-01"):
        assert "late/1" in client.get(address).text
    assert looked == []
    controller.close()


def test_an_address_that_is_refused_is_refused_before_anything_is_looked_at(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    for module in (looks_module, overview_module):
        monkeypatch.setattr(module, "observe", lambda *given: looked.append(given))
    client = TestClient(build_server_app(project, Seen(ControllerHealth(None, 0, None))))
    for query in ("from=yesterday-ish", "from=2026-11-03&to=2026-11-02"):
        assert client.get(f"/endpoints/delay?{query}").status_code == 400
    assert looked == []


def test_drift_that_is_not_judged_stands_in_the_table_of_guardrails(project: Project) -> None:
    limits = EndpointSettings(
        model="late@champion", guardrails=(GuardrailEntry(drift=DriftLimit(min_rows=200)),)
    )
    with project.database.write() as connection:
        put_policy(connection, "delay", PolicyBody(endpoint=limits), "person:test")
    page = (
        TestClient(build_server_app(project, Seen(ControllerHealth(None, 0, None))))
        .get("/endpoints/delay")
        .text
    )
    table = page[page.index('aria-label="Table: Guardrails"') :]
    assert "not judged" in table[: table.index("</table>")]
    assert 'data-key="drift-' in table[: table.index("</table>")]
