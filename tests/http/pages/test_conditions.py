"""Since when an endpoint is as it is, what was done about that, and what it says of a rollout that goes no further."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.production.endpoints import POLICY, Looking, World
from penstock.base.clock import iso_ms, now_ms
from penstock.base.store.events import record_event
from penstock.flows.production.revising import apply_deployment
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.http.app import build_server_app
from penstock.monitoring.alerts import Subject, open_alert
from penstock.serving.workers import (
    WorkerRevision,
    beat,
    end_worker,
    list_workers,
    register_worker,
    report_revision,
)

LASTING = POLICY.replace("windows: 10}", "windows: 3600}")
MINUTE_MS = 60_000


@pytest.fixture(autouse=True)
def _alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one sign of life last for as long as a test does."""
    monkeypatch.setattr("penstock.serving.workers.ALIVE_MS", MINUTE_MS)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "world")
    world.version(1)
    world.version(2)
    world.policy(LASTING)
    yield world
    world.project.close()


def client_of(world: World) -> TestClient:
    return TestClient(build_server_app(world.project, Looking(world)))


def serve(world: World, endpoint: str = "delay", *, seen_ms: int | None = None) -> int:
    """Let a serve process have loaded what an endpoint serves; it is heard of without another word."""
    said = WorkerRevision(
        endpoint=endpoint,
        revision=world.current(endpoint).number,
        state="ready",
        message="",
        time_ms=now_ms(),
    )
    heard_ms = seen_ms or now_ms()
    with world.project.database.write() as connection:
        number = register_worker(connection, host="a", pid=1, url="http://127.0.0.1:8080", time_ms=heard_ms)
        report_revision(connection, number, said)
    return number


def words_of(text: str) -> str:
    main = text.partition('<main id="main">')[2].partition("</main>")[0]
    bare = re.sub(r"<(script|svg)\b.*?</\1>", "", main, flags=re.S)
    return re.sub(r" ([:,;.])", r"\1", " ".join(unescape(re.sub(r"<[^>]+>", " ", bare)).split()))


def since_of(page: str) -> str:
    """Return what a card says behind `since`."""
    return page.partition("<dt>since</dt>")[2].partition("</dd>")[0]


@pytest.mark.parametrize("is_told", [True, False], ids=["ended", "lost"])
def test_an_endpoint_is_down_since_its_last_process_was_heard_of(world: World, is_told: bool) -> None:
    world.deploy(1)
    world.traffic("stable", 100, ago_s=1200)
    heard_ms = now_ms() - 2 * MINUTE_MS
    worker = serve(world, seen_ms=heard_ms)
    serve(world, seen_ms=heard_ms - MINUTE_MS)
    with world.project.database.write() as connection:
        if is_told:
            end_worker(connection, worker, heard_ms)
            assert list_workers(connection, 0)[0].id != worker
        else:
            beat(connection, worker, heard_ms)
    client = client_of(world)
    page = client.get("/").text
    assert "■" in page
    assert f'datetime="{iso_ms(heard_ms)}"' in since_of(page)
    assert "when the last traffic ended" not in page
    assert "when its last serve process was heard of" in since_of(page)
    row = client.get("/endpoints").text.partition('data-name="since"')[2].partition("</td>")[0]
    assert f'datetime="{iso_ms(heard_ms)}"' in row


def test_an_endpoint_that_nobody_ever_served_is_down_since_no_time(world: World) -> None:
    world.deploy(1)
    world.traffic("stable", 100, ago_s=1200)
    assert since_of(client_of(world).get("/").text) == ""


def alert(world: World, time_ms: int) -> None:
    labels = {"kind": "drift", "name": "temp", "route": "stable", "version": "1"}
    with world.project.database.write() as connection:
        open_alert(
            connection,
            Subject(name="PenstockGuardrailBreached", endpoint="delay", labels=labels),
            "delay (m/1): PSI of temp is 4.743",
            (),
            time_ms=time_ms,
        )


def test_a_breach_is_so_since_its_alert_began_and_what_is_older_was_not_done_about_it(world: World) -> None:
    world.policy(POLICY)
    world.deploy(1)
    with world.project.database.write() as connection:
        record_event(connection, "endpoint.deployed", "endpoint:delay", "person:ada", "delay serves m/1")
    serve(world)
    began_ms = now_ms() + 20_000
    world.traffic("stable", 100, ago_s=300)
    alert(world, began_ms)
    page = client_of(world).get("/").text
    assert "▲" in page
    assert f'datetime="{iso_ms(began_ms)}"' in since_of(page)
    assert "traffic ended" not in since_of(page)
    words = words_of(page)
    assert "done nothing since it began" in words
    assert re.search(r"before \S+ \S+ deployed: delay serves m/1", words) or "before now deployed" in words


def test_an_endpoint_that_is_down_still_names_the_alert_that_is_open(world: World) -> None:
    world.deploy(1)
    alert(world, now_ms() - MINUTE_MS)
    words = words_of(client_of(world).get("/").text)
    assert "no serve process is running" in words
    assert "the alert is still open: delay (m/1): PSI of temp is 4.743" in words


@pytest.fixture
def barred(world: World) -> World:
    """`delay` has a canary of `m/2` that kept all; `other` rolled that version back, so it cannot be advanced."""
    world.policy(LASTING, "other")
    world.deploy(1, endpoint="other")
    world.deploy(1, 2, endpoint="other")
    apply_deployment(world.project, plan_rollback(world.project, "other", reason="its AUC is 0.52"))
    world.deploy(1)
    world.deploy(1, 2)
    serve(world)
    world.traffic("stable", 200)
    world.traffic("canary", 200)
    world.controller.tick()
    assert world.events("rollout.held")
    world.controller.tick()
    return world


def test_a_rollout_that_is_refused_its_next_share_is_told_as_held_first_of_all(barred: World) -> None:
    client = client_of(barred)
    for address in ("/", "/endpoints/delay"):
        words = words_of(client.get(address).text)
        assert "advances to" not in words, address
        assert "held half-way" in words, address
        assert "m/2 cannot be advanced: it was rolled back" in words, address
    assert "delay is held half-way" in words_of(client.get("/").text).partition("Overview")[2][:300]


def test_what_was_not_done_about_a_canary_is_not_told_when_it_is_gone(barred: World) -> None:
    seen = barred.controller.observations["delay"]
    assert any(one.name == "PenstockActionFailed" for one in seen.history.alerts)
    barred.deploy(1)
    serve(barred)
    client = client_of(barred)
    for address in ("/", "/endpoints/delay"):
        words = words_of(client.get(address).text)
        assert "not done" not in words.partition("What happened last")[0].partition("Events")[0], address
