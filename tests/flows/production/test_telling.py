"""Alerts: one a finding, firing and resolved, out of an outbox that forgets nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, get_args

import numpy as np
import pytest
import sqlalchemy as sa

from flows.production.endpoints import POLICY, World
from penstock.base.errors import Conflict
from penstock.flows.production.controlling import telling
from penstock.flows.production.controlling.telling import BACKOFF_S, AlertLoop
from penstock.monitoring.alerts import (
    Subject,
    claim_due,
    close_alert,
    deliveries,
    list_open_alerts,
    open_alert,
)
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import AlertFormat, Webhook
from penstock.monitoring.windows import windows
from penstock.monitoring.wording import BODIES


@dataclass
class Receiver:
    """What was posted, and what is answered."""

    url: str = ""
    status: int = 200
    bodies: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    got = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            got.ids.append(self.headers["Penstock-Delivery-Id"])
            self.send_response(got.status)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    got.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield got
    server.shutdown()
    thread.join()


def be_due(world: World) -> None:
    """Let every waiting delivery be due now."""
    with world.project.database.write() as connection:
        connection.execute(sa.text("UPDATE alert_deliveries SET next_ms = 0 WHERE next_ms IS NOT NULL"))


def test_three_features_in_one_look_are_three_alerts(world: World) -> None:
    reference = Profile.of({name: np.random.default_rng(1).normal(size=5000) for name in "abc"})
    world.version(4, profile=reference)
    moved = Profile.of({name: np.random.default_rng(2).normal(3, 1, 2000) for name in "abc"})
    with receiver() as got:
        world.policy(
            "model: m\nguardrails: [{drift: {psi_max: 0.2}}]\nmonitor: {window_s: 1}\n",
            webhooks=(Webhook(url=got.url),),
        )
        world.deploy(4)
        world.traffic("stable", 100, features=moved)
        world.controller.tick()
        world.controller.tick()
        assert AlertLoop(world.project).send_due() == 3
        assert AlertLoop(world.project).send_due() == 0
    labels = [body["alerts"][0]["labels"] for body in got.bodies]
    assert sorted(one["name"] for one in labels) == ["a", "b", "c"]
    assert len({body["alerts"][0]["fingerprint"] for body in got.bodies}) == 3
    assert len(world.events("guardrail.breached")) == 1


def test_a_breach_fires_and_resolves_in_the_words_of_each_receiver(world: World) -> None:
    with receiver() as got:
        hooks = tuple(Webhook(url=got.url, format=one) for one in ("alertmanager", "json", "slack"))
        world.policy(POLICY.replace("on_breach: [rollback, alert]", ""), webhooks=hooks)
        world.deploy(1)
        world.traffic("stable", 200, 150)
        world.controller.tick()
        loop = AlertLoop(world.project)
        loop.send_due()
        with world.project.database.write() as connection:
            connection.execute(windows.delete())
        world.traffic("stable", 2000)
        world.controller.tick()
        with world.project.database.write() as connection:
            connection.execute(sa.text("UPDATE alerts SET clean_ms = clean_ms - 60000"))
        world.controller.tick()
        loop.send_due()
    alertmanager, plain, slack = got.bodies[:3]
    assert (alertmanager["version"], alertmanager["status"]) == ("4", "firing")
    (one,) = alertmanager["alerts"]
    assert one["labels"]["alertname"] == "PenstockGuardrailBreached"
    assert one["endsAt"] == "0001-01-01T00:00:00Z"
    assert (plain["status"], plain["ends_ms"], plain["labels"]["kind"]) == ("firing", None, "errors")
    assert slack["text"].startswith(":rotating_light: *PenstockGuardrailBreached* delay")
    over = got.bodies[3]
    assert (over["status"], over["alerts"][0]["fingerprint"]) == ("resolved", one["fingerprint"])
    assert over["alerts"][0]["startsAt"] == one["startsAt"]
    assert over["alerts"][0]["endsAt"] > one["startsAt"]
    assert got.bodies[4]["status"] == "resolved"
    assert "resolved" in got.bodies[5]["text"]


def test_every_format_that_can_be_set_has_its_words() -> None:
    assert BODIES.keys() == set(get_args(AlertFormat))


def test_a_receiver_that_is_down_gets_the_alert_later_with_the_same_id_and_body(world: World) -> None:
    with receiver() as got:
        got.status = 503
        world.policy(webhooks=(Webhook(url=got.url),))
        world.deploy(1)
        world.deploy(1, 2)
        world.traffic("canary", 200, 150)
        world.controller.tick()
        loop = AlertLoop(world.project)
        assert loop.send_due() == 2
        assert loop.send_due() == 0
        be_due(world)
        loop.send_due()
        got.status = 200
        be_due(world)
        loop.send_due()
        be_due(world)
        assert loop.send_due() == 0
    assert got.ids[:2] == got.ids[2:4] == got.ids[4:]
    assert got.bodies[:2] == got.bodies[4:]
    assert [body["alerts"][0]["labels"]["alertname"] for body in got.bodies[4:]] == ["PenstockGuardrailBreached", "PenstockRolledBack"]  # fmt: skip
    assert len(world.events("alert.failed")) == 2


def test_a_delivery_that_is_never_taken_is_given_up_with_an_event(world: World) -> None:
    world.policy(webhooks=(Webhook(url="http://127.0.0.1:9/"),))
    with world.project.database.write() as connection:
        open_alert(connection, Subject(name="X", endpoint="delay"), "x", (Webhook(url="http://127.0.0.1:9/"),), time_ms=1)  # fmt: skip
    loop = AlertLoop(world.project)
    for _ in range(len(BACKOFF_S) + 1):
        be_due(world)
        loop.send_due()
    be_due(world)
    assert loop.send_due() == 0
    said = [one.summary for one in world.events("alert.failed")]
    assert len(said) == 2
    assert said[1].endswith("it is given up")


def test_a_killed_controller_tells_each_once(world: World) -> None:
    """What another controller decides after a kill is no news when the first one's decision was stored."""
    from penstock.flows.production.controlling.responding import Controller

    with receiver() as got:
        world.policy(webhooks=(Webhook(url=got.url),))
        world.deploy(1)
        world.deploy(1, 2)
        world.traffic("canary", 200, 150)
        world.controller.tick()
        world.controller.close()
        second = Controller(world.project)
        second.tick()
        second.tick()
        AlertLoop(world.project).send_due()
        AlertLoop(world.project).send_due()
    assert sorted(one["status"] for one in got.bodies if one["commonLabels"]["alertname"] == "PenstockRolledBack") == ["firing"]  # fmt: skip
    assert len(got.ids) == len(set(got.ids))


def test_one_is_open_at_a_time_and_its_end_waits_for_its_beginning(world: World) -> None:
    subject, hooks = Subject(name="X", endpoint="delay"), (Webhook(url="http://127.0.0.1:9/"),)
    with world.project.database.write() as connection:
        first = open_alert(connection, subject, "x", hooks, time_ms=1)
    with pytest.raises(Conflict), world.project.database.write() as connection:
        open_alert(connection, subject, "x", hooks, time_ms=2)
    with world.project.database.write() as connection:
        close_alert(connection, first, hooks, time_ms=3)
        close_alert(connection, first, hooks, time_ms=4)
        assert list_open_alerts(connection, "delay") == []
        (due,) = claim_due(connection, 10, 20)
        assert due.status == "firing"
        assert claim_due(connection, 10, 20) == []
        connection.execute(deliveries.update().where(deliveries.c.id == due.id).values(next_ms=None))
        assert [one.status for one in claim_due(connection, 10, 20)] == ["resolved"]
        assert open_alert(connection, subject, "x", hooks, time_ms=5) != first


def test_a_receiver_that_says_nothing_keeps_no_other_from_being_told_and_each_alert_is_told_of_as_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listening socket that nobody accepts from: every post to it waits until the time is up, but only one does."""
    asked: list[str] = []
    real = telling.post_bytes

    def hasty(url: str, data: bytes, headers: dict[str, str], **values: Any) -> Any:
        asked.append(url)
        return real(url, data, headers, **values, timeout_s=0.3)

    monkeypatch.setattr(telling, "post_bytes", hasty)
    with receiver() as got, socket.create_server(("127.0.0.1", 0)) as silent:
        hooks = tuple(Webhook(url=one) for one in (f"http://127.0.0.1:{silent.getsockname()[1]}/", got.url))
        with world.project.database.write() as connection:
            for number in range(5):
                subject = Subject(name=f"X{number}", endpoint="delay")
                open_alert(connection, subject, "x", hooks, time_ms=1)
        loop = AlertLoop(world.project)
        assert loop.send_due() == 10
        assert len(got.ids) == 5
        assert [one for one in asked if one != got.url] == [hooks[0].url]
        assert len(world.events("alert.failed")) == 5
        with world.project.database.write() as connection:  # as after the clock was set back by a day
            connection.execute(
                sa.text("UPDATE alert_deliveries SET next_ms = next_ms + 86400000 WHERE sent_ms IS NULL")
            )
        assert loop.send_due() == 5


def test_a_redirect_is_not_followed_and_counts_as_not_taken(world: World) -> None:
    with receiver() as got:
        got.status = 302
        with world.project.database.write() as connection:
            open_alert(
                connection, Subject(name="X", endpoint="delay"), "x", (Webhook(url=got.url),), time_ms=1
            )
        AlertLoop(world.project).send_due()
        (event,) = world.events("alert.failed")
        assert "it answered 302" in event.summary
        assert len(got.ids) == 1


def test_that_it_is_over_is_not_told_after_it_fired_again(world: World) -> None:
    subject = Subject(name="PenstockGuardrailBreached", endpoint="delay", labels={"kind": "errors"})
    with receiver() as got:
        hook = Webhook(url=got.url)
        world.policy(webhooks=(hook,))
        world.deploy(1)
        loop = AlertLoop(world.project)

        def told(status: int) -> list[str]:
            got.status = status
            before = len(got.bodies)
            loop.send_due()
            return [body["status"] for body in got.bodies[before:]]

        with world.project.database.write() as connection:
            first = open_alert(connection, subject, "first", (hook,), time_ms=1)
        assert told(200) == ["firing"]
        with world.project.database.write() as connection:
            close_alert(connection, first, (hook,), time_ms=2)
        assert told(503) == ["resolved"]
        with world.project.database.write() as connection:
            second = open_alert(connection, subject, "second", (hook,), time_ms=3)
        assert told(200) == ["firing"]
        be_due(world)
        assert told(200) == []
        with world.project.database.write() as connection:
            close_alert(connection, second, (hook,), time_ms=4)
        assert told(200) == ["resolved"]


def test_a_receiver_that_took_the_first_beginning_alone_is_told_that_it_is_over(world: World) -> None:
    subject = Subject(name="PenstockGuardrailBreached", endpoint="delay", labels={"kind": "errors"})
    with receiver() as got:
        hook = Webhook(url=got.url)
        world.policy(webhooks=(hook,))
        world.deploy(1)
        loop = AlertLoop(world.project)
        with world.project.database.write() as connection:
            first = open_alert(connection, subject, "first", (hook,), time_ms=1)
        loop.send_due()
        got.status = 503
        with world.project.database.write() as connection:
            close_alert(connection, first, (hook,), time_ms=2)
            second = open_alert(connection, subject, "second", (hook,), time_ms=3)
        for _ in range(len(BACKOFF_S) + 1):  # until its beginning is given up
            be_due(world)
            loop.send_due()
        with world.project.database.write() as connection:
            close_alert(connection, second, (hook,), time_ms=4)
        got.status = 200
        loop.send_due()
        assert got.bodies[-1]["status"] == "resolved"
