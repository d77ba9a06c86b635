"""Webhooks are told of every change once it happened, signed, until they take it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.store.events import list_events
from penstock.base.web import deliveries as deliveries_module
from penstock.base.web.deliveries import Deliveries
from penstock.flows.models import webhooks as sending
from penstock.flows.models.webhooks import send_due
from penstock.flows.production.controlling.health import ControllerHealth
from penstock.flows.setup.checking import check_project
from penstock.http.prometheus.judgement import JudgementMetrics
from penstock.project.project import Project
from penstock.project.settings import ProjectSettings
from penstock.registry.tables import webhook_deliveries
from servers.forking import run_penstock
from servers.receiver import Receiver, run_receiver
from servers.registry_api import Api, run_api

INSIDE = "project: p\nwebhooks: {allow_private: true}\n"
MADE = {"entity": "REGISTERED_MODEL", "action": "CREATED"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with run_api(tmp_path / "root", INSIDE) as opened:
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as running:
        yield running


def hook(api: Api, url: str, events: list[dict[str, str]] | None = None, name: str = "h", **more: str) -> Any:
    made = api.post("webhooks", name=name, url=url, events=events or [MADE], **more)
    return made["webhook"]


def waiting(api: Api) -> list[Any]:
    with api.project.database.read() as connection:
        return list(connection.execute(sa.select(webhook_deliveries)))


def test_a_change_is_posted_signed_as_mlflow_signs(api: Api, receiver: Receiver) -> None:
    shown = hook(api, receiver.url, secret="hush")
    assert "hush" not in json.dumps(shown)
    api.post("registered-models/create", name="m", tags=[{"key": "a", "value": "b"}], description="d")
    assert send_due(api.project) == 1
    [request] = receiver.requests
    body = json.loads(request.body)
    assert (body["entity"], body["action"]) == ("registered_model", "created")
    assert body["data"] == {"name": "m", "tags": {"a": "b"}, "description": "d"}
    identity, sent = request.headers["X-MLflow-Delivery-Id"], request.headers["X-MLflow-Timestamp"]
    signed = f"{identity}.{sent}.{request.body.decode()}".encode()
    expected = base64.b64encode(hmac.new(b"hush", signed, hashlib.sha256).digest()).decode()
    assert request.headers["X-MLflow-Signature"] == f"v1,{expected}"
    assert waiting(api) == []


def test_every_kind_of_change_is_told_to_who_asked_for_it(api: Api, receiver: Receiver) -> None:
    every = [
        {"entity": entity, "action": action}
        for entity, action in (name.upper().split(".") for name in sending.EXAMPLES)
    ]
    hook(api, receiver.url, every)
    api.post("registered-models/create", name="m")
    api.post("model-versions/create", name="m", source="s3://b/x")
    api.post("model-versions/set-tag", name="m", version="1", key="k", value="v")
    api("DELETE", "model-versions/delete-tag", name="m", version="1", key="k")
    api.post("registered-models/alias", name="m", alias="champion", version="1")
    api("DELETE", "registered-models/alias", name="m", alias="champion")
    send_due(api.project)
    told = [json.loads(one.body) for one in receiver.requests]
    assert [f"{one['entity']}.{one['action']}" for one in told] == list(sending.EXAMPLES)
    assert [set(one["data"]) for one in told] == [set(one) for one in sending.EXAMPLES.values()]


def test_what_did_not_happen_is_not_told(api: Api, receiver: Receiver) -> None:
    hook(api, receiver.url)
    api.post("registered-models/create", name="m")
    assert api("POST", "registered-models/create", name="m")[0] == 400
    assert len(waiting(api)) == 1


def test_a_failed_delivery_is_tried_again_under_its_id_and_given_up_at_last(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "BACKOFF_S", (0, 0))
    with run_receiver([500, 302]) as receiver:
        hook(api, receiver.url)
        api.post("registered-models/create", name="m")
        for _ in range(3):
            send_due(api.project)
        assert len({one.headers["X-MLflow-Delivery-Id"] for one in receiver.requests}) == 1
        assert len(receiver.requests) == 3
        assert waiting(api) == []
    api.post("registered-models/create", name="n")
    for _ in range(4):
        send_due(api.project)
    [given_up] = waiting(api)
    assert (given_up.next_ms, given_up.attempt_count) == (None, 3)
    with api.project.database.read() as connection:
        assert list_events(connection)[-1].kind == "webhook.failed"


def test_a_webhook_that_keeps_failing_is_told_until_it_takes_something(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> list[str]:
        shown = run_penstock(api.project.root, "monitor", "status").stdout.splitlines()
        checks = [one.sentence for one in check_project(api.project, {}) if one.part == "webhooks"]
        lines = [one.removeprefix("webhook ") for one in shown if one.startswith("webhook ")]
        assert lines == checks
        return lines

    monkeypatch.setattr(sending, "BACKOFF_S", (0,))
    deliveries = Deliveries()
    with run_receiver([500, 500]) as receiver:
        hook(api, f"{receiver.url}?token=hush")
        api.post("registered-models/create", name="m")
        assert told() == [], "nothing was tried yet"
        send_due(api.project, deliveries=deliveries)
        (words,) = told()
        assert words.startswith(
            f"the webhook h at {receiver.url.partition('//')[2].partition('/')[0]} has not taken"
        )
        assert words.endswith(": it answered 500; 1 change waiting")
        assert "hush" not in words
        send_due(api.project, deliveries=deliveries)
        (words,) = told()
        assert words.endswith(": it answered 500; 1 change given up")
        api.post("registered-models/create", name="n")
        send_due(api.project, deliveries=deliveries)
        assert told() == []
    assert deliveries.counts == {"taken": 1, "failed": 1, "given_up": 1, "dropped": 0}
    with api.project.database.read() as connection:
        assert list_events(connection, kind="webhook.failed")[-1].cause["payload"]["name"] == "m"


def test_what_was_given_up_long_ago_is_not_told_as_failing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> list[str]:
        return [one.sentence for one in check_project(api.project, {}) if one.part == "webhooks"]

    def turn_back(days: int) -> None:
        columns = webhook_deliveries.c
        with api.project.database.write() as connection:
            connection.execute(
                webhook_deliveries.update().values(created_ms=columns.created_ms - days * 86_400_000)
            )

    monkeypatch.setattr(sending, "BACKOFF_S", ())
    with run_receiver([500, 500]) as receiver:
        hook(api, receiver.url)
        api.post("registered-models/create", name="m")
        send_due(api.project)
        turn_back(6)
        assert [one.rpartition("; ")[2] for one in told()] == ["1 change given up"]
        turn_back(2)
        assert told() == []
        monkeypatch.setattr(sending, "BACKOFF_S", (3600,))
        api.post("registered-models/create", name="n")
        send_due(api.project)
        assert [one.rpartition(": ")[2] for one in told()] == ["it answered 500; 1 change waiting"]
        turn_back(8)
        assert len(told()) == 1, "what waits is told however old it is"


def test_what_becomes_of_deliveries_is_scraped_with_the_age_of_the_oldest(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_module, "LOOK_S", 0.0)
    deliveries = Deliveries()
    metrics = JudgementMetrics(
        SimpleNamespace(health=ControllerHealth(None, 0, None)), "0", outboxes={"registry": deliveries}
    )

    def scraped(name: str) -> float:
        return next(
            float(one.split()[-1]) for one in metrics.render().decode().splitlines() if one.startswith(name)
        )

    failed = 'penstock_webhook_deliveries_total{of="registry",outcome="failed"}'
    age = 'penstock_webhook_undelivered_age_seconds{of="registry"}'
    assert (scraped(failed), scraped(age)) == (0, 0)
    with run_receiver([500]) as receiver:
        hook(api, receiver.url)
        api.post("registered-models/create", name="m")
        with api.project.database.write() as connection:
            connection.execute(webhook_deliveries.update().values(created_ms=now_ms() - 900_000))
        send_due(api.project, deliveries=deliveries)
        assert scraped(failed) == 1
        assert 900 <= scraped(age) < 2000
        with api.project.database.write() as connection:
            connection.execute(webhook_deliveries.update().values(next_ms=0))
        send_due(api.project, deliveries=deliveries)
        send_due(api.project, deliveries=deliveries)
        assert (scraped(failed), scraped(failed.replace("failed", "taken")), scraped(age)) == (1, 1, 0)


def test_a_delivery_that_waits_is_left_alone(api: Api) -> None:
    with run_receiver([500]) as receiver:
        hook(api, receiver.url)
        api.post("registered-models/create", name="m")
        assert (send_due(api.project), send_due(api.project)) == (1, 0)


def test_an_address_inside_is_refused_unless_allowed(tmp_path: Path) -> None:
    with run_api(tmp_path / "strict") as api:
        status, answer = api("POST", "webhooks", name="h", url="http://169.254.169.254/", events=[MADE])
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert api.get("webhooks") == {}


def test_an_address_allowed_once_is_checked_again_when_it_is_sent_to(
    tmp_path: Path, receiver: Receiver
) -> None:
    with run_api(tmp_path / "root", INSIDE) as api:
        hook(api, receiver.url)
        api.post("registered-models/create", name="m")
    (tmp_path / "root" / "penstock.yaml").write_text("project: p\n")
    strict = Project(api.project.places, ProjectSettings(project="p"), "ada")  # the same store
    assert send_due(strict) == 1
    strict.close()
    assert receiver.requests == []


def test_webhooks_are_shown_changed_tried_and_deleted(api: Api, receiver: Receiver) -> None:
    made = hook(api, receiver.url, secret="hush", description="d")
    one = f"webhooks/{made['webhook_id']}"
    assert api.get(one) == {"webhook": made}
    assert api.get("webhooks") == {"webhooks": [made]}
    status, changed = api("PATCH", one, name="other", status="DISABLED")
    assert (status, changed["webhook"]["name"], changed["webhook"]["status"]) == (200, "other", "DISABLED")
    assert changed["webhook"]["url"] == receiver.url
    api.post("registered-models/create", name="m")
    assert waiting(api) == []
    result = api.post(f"{one}/test")["result"]
    assert result == {"success": True, "response_status": 200, "response_body": "fine"}
    assert json.loads(receiver.requests[0].body)["data"]["name"] == "example_model"
    assert "X-MLflow-Signature" in receiver.requests[0].headers
    assert api("DELETE", one)[0] == 200
    status, answer = api("GET", one)
    assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "-x"},
        {"name": "x" * 64},
        {"events": []},
        {"events": [{"entity": "PROMPT", "action": "CREATED"}]},
        {"events": [{"entity": "MODEL_VERSION", "action": "DELETED"}]},
        {"status": "SLEEPING"},
        {"url": ""},
    ],
)
def test_a_webhook_that_cannot_be_is_refused(api: Api, receiver: Receiver, wrong: dict[str, Any]) -> None:
    fields = {"name": "h", "url": receiver.url, "events": [MADE], **wrong}
    status, answer = api("POST", "webhooks", **fields)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
