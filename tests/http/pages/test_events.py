"""The page of events says what it looked at, searches every event, and shows the one that a link means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.production.endpoints import World
from penstock.base.store.events import record_event
from penstock.http.app import build_server_app
from penstock.http.pages.overview_views import ALL_EVENTS
from penstock.processes.controller import ControllerLoop

MOVED = ALL_EVENTS + 10


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A refusal, and behind it more moves than a page has events."""
    world = World(Path(tmp_path_factory.mktemp("events")) / "world")
    with world.project.database.write() as connection:
        record_event(connection, "gate.refused", "model:m/1", "person:ada", "Die ERSTE Ünderung")
        record_event(connection, "guardrail.breached", "endpoint:e", "controller", "too slow")
        record_event(connection, "guardrail.breached", "endpoint:e", "controller", "slower still")
        for number in range(MOVED):
            record_event(connection, "model.promoted", f"model:m/{number}", "person:ada", f"moved {number}")
    yield world
    world.project.close()


@pytest.fixture(scope="module")
def client(world: World) -> TestClient:
    return TestClient(build_server_app(world.project, ControllerLoop(world.project)))


def answer_of(text: str) -> str:
    return unescape(re.findall(r'<p class="answer">(.*?)</p>', text)[0])


def test_a_page_of_some_events_says_that_it_is_of_the_newest(client: TestClient) -> None:
    text = client.get("/events").text
    assert answer_of(text).startswith(
        f"The newest {ALL_EVENTS} events, and nothing went wrong in them. The newest: moved {MOVED - 1}"
    )
    older = re.search(r'href="(/events\?before=\d+)[^"]*">older', text)
    assert older is not None
    assert "What went wrong in them: 2 × limit breached, 1 × gate refused" in answer_of(
        client.get(older[1]).text
    )
    every = answer_of(client.get("/events?kind=guardrail.breached").text)
    assert every.startswith("2 events. What went wrong: 2 × limit breached")


def test_words_and_kinds_are_looked_for_in_every_event(client: TestClient, world: World) -> None:
    for words in ("erste", "ünder", "GATE.refused", "ada model:m/1 gate", "ERSTE Ü"):
        text = client.get("/events", params={"q": words}).text
        assert answer_of(text).startswith("1 event. What went wrong: 1 × gate refused"), words
    assert "No event is as asked" in client.get("/events", params={"q": "100%_"}).text
    offered = re.findall(r'<option value="([a-z_.]+)"', client.get("/events").text)
    assert offered == ["model.promoted", "gate.refused", "guardrail.breached"]
    with world.project.database.write() as connection:
        record_event(connection, "user.added", "user:eve", "person:ada", "added eve")
    assert '<option value="user.added">' in client.get("/events").text


def test_a_link_to_an_event_leads_to_where_it_is_shown(client: TestClient) -> None:
    led = client.get("/search?q=1", follow_redirects=False).headers["location"]
    assert led == "/events?before=2#event-1"
    assert 'id="event-1"' in client.get(led).text
    together = client.get("/events?kind=guardrail.breached").text
    assert '<li id="event-2">' in together
    assert 'id="event-3"' in together
    assert together.count('id="event-') == 2
