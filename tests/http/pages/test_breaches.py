"""Drift that only alerts, wherever it is told: on the page of drift, in reasons, in colours, in the chain; and what a rollback brings back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from flows.production.endpoints import POLICY, Looking, World
from penstock.base.clock import now_ms
from penstock.http.app import build_server_app
from penstock.monitoring.profile import Profile
from penstock.serving.workers import WorkerRevision, end_worker, register_worker, report_revision

DRIFT = (
    POLICY.replace("windows: 10}", "windows: 3600}")
    .replace("steps: [20, 50, 100]", "steps: [50]")
    .replace("0.02}", "0.02}\n  - drift: {features: [temp], psi_max: 0.25, min_rows: 100}")
    .replace("[rollback, alert]", "[alert]")
)


def profile(mean: float) -> Profile:
    return Profile.of({"temp": np.random.default_rng(0).normal(mean, 1, 500)})


@pytest.fixture(autouse=True)
def _alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one sign of life last for as long as a test does."""
    monkeypatch.setattr("penstock.serving.workers.ALIVE_MS", 3_600_000)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """On `delay`, `m/1` is asked what it was trained on, and its canary `m/2` something else, which only alerts."""
    world = World(tmp_path_factory.mktemp("breaches") / "world")
    for number in (1, 2):
        world.version(number, profile=profile(0))
    world.policy(DRIFT)
    world.deploy(1)
    world.deploy(1, 2, steps=(50.0,))
    with world.project.database.write() as connection:
        number = register_worker(connection, host="a", pid=1, url="http://127.0.0.1:8080", time_ms=now_ms())
        for revision in (2, 3):
            said = WorkerRevision(
                endpoint="delay", revision=revision, state="ready", message="", time_ms=now_ms()
            )
            report_revision(connection, number, said)
    world.traffic("stable", 500, features=profile(0))
    world.traffic("canary", 500, features=profile(5))
    world.controller.tick()
    yield world
    world.project.close()


@pytest.fixture(scope="module")
def client(world: World) -> TestClient:
    return TestClient(build_server_app(world.project, Looking(world)))


def words_of(text: str) -> str:
    return re.sub(r" ([:,;.])", r"\1", " ".join(unescape(re.sub(r"<[^>]*>", " ", text)).split()))


def main_of(client: TestClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, (address, answer.text[:2000])
    return str(answer.text.partition('<main id="main">')[2].partition("</main>")[0])


def test_the_page_of_drift_names_the_alerts_that_are_open_whatever_version_it_shows(
    client: TestClient,
) -> None:
    page = main_of(client, "/endpoints/delay/drift")
    words = words_of(page)
    assert "None of 1 feature of m/1 was over 0.25 when traffic last came" in words
    assert re.search("▲ breached", words)
    assert re.search(r"open alert.*PSI of temp is", words), words[:600]
    assert "m/2 on canary" in words
    assert 'href="/endpoints/delay/drift?version=2"' in page.partition("<form")[0]
    own = words_of(main_of(client, "/endpoints/delay/drift?version=2"))
    assert "1 of 1 feature of m/2 was over 0.25" in own
    assert "open alert" in own


def test_a_canary_that_advances_beside_a_breach_that_only_alerts_says_so(
    world: World, client: TestClient
) -> None:
    revision = world.current()
    assert revision.canary is not None
    assert revision.canary.percent == 50.0
    assert "m/2 kept every guardrail that acts at 20 %" in revision.reason
    assert "drift of temp is breached, which only alerts" in revision.reason
    assert "kept every guardrail at" not in words_of(main_of(client, "/endpoints/delay"))


def test_drift_that_only_alerts_is_amber_in_each_table_and_bar(world: World, client: TestClient) -> None:
    world.traffic("canary", 500, features=profile(5))
    world.traffic("stable", 500, 400, features=profile(0))  # what is red beside it makes it no redder
    world.controller.tick()
    page = main_of(client, "/endpoints/delay")
    guardrails = page.partition('aria-label="Table: Guardrails"')[2].partition("</table>")[0]
    drift = page.partition('aria-label="Table: Drift by feature"')[2].partition("</table>")[0]
    for table in (guardrails, drift):
        row = (
            table.partition("temp")[0].rpartition("<tr")[2] + table.partition("temp")[2].partition("</tr>")[0]
        )
        assert '"state bad"' not in row, row
        assert '"state warn"' in row, row
    assert "over warn" in drift
    assert not re.search(r'"part over"', drift)


def test_a_breach_in_the_chain_of_an_endpoint_is_marked(client: TestClient) -> None:
    chain = main_of(client, "/why/delay").partition('class="chain"')[2]
    (item,) = [one for one in chain.split("<li")[1:] if "PSI of temp" in one and "limit breached" in one][:1]
    assert 'class="past"' in item.partition(">")[0] + ">"
    assert "▲" in words_of(f"<li{item}")


@pytest.fixture
def back(tmp_path: Path) -> Iterator[World]:
    """`delay` served `m/1` with a canary of `m/2` in revision 2, and serves `m/3` now."""
    world = World(tmp_path / "world")
    for number in range(1, 4):
        world.version(number)
    world.policy()
    world.deploy(1)
    world.deploy(1, 2, percent=50.0)
    world.deploy(3)
    yield world
    world.project.close()


def test_a_preview_says_that_a_canary_does_not_come_back_and_that_nobody_serves(back: World) -> None:
    client = TestClient(build_server_app(back.project, Looking(back)))
    words = words_of(main_of(client, "/endpoints/delay/rollback?to=2"))
    assert "delay is back at m/1, which was stable in revision 2" in words
    assert "is back at revision 2" not in words
    assert "m/2, its canary with 50 % then, does not come back" in words
    assert "no serve process runs that would take it over" in words
    assert "does not come back" not in words_of(main_of(client, "/endpoints/delay/rollback?to=1"))
    with back.project.database.write() as connection:
        number = register_worker(connection, host="a", pid=1, url="http://127.0.0.1:1", time_ms=now_ms())
    assert "no serve process" not in words_of(main_of(client, "/endpoints/delay/rollback?to=2"))
    with back.project.database.write() as connection:
        end_worker(connection, number, now_ms())
