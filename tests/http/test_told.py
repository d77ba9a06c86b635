"""What services of one's own tell over HTTP: batches, labels, and the version they are to answer with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from flows.production.endpoints import POLICY, World
from penstock.access.grants import Grant, set_grant
from penstock.access.tokens import create_token
from penstock.access.users import add_user
from penstock.base.clock import now_ms
from penstock.flows.production.payloads.reading import read_payloads
from penstock.http.app import build_server_app
from penstock.http.operations import PREFIX
from penstock.monitoring.windows import list_windows, merge_windows
from penstock.processes.controller import ControllerLoop


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store with the endpoint `delay` at `m/1`."""
    made = World(tmp_path_factory.mktemp("told"))
    made.version(1)
    made.deploy(1)
    yield made
    made.project.close()


@pytest.fixture(scope="module")
def client(world: World) -> TestClient:
    return TestClient(build_server_app(world.project, ControllerLoop(world.project)))


def batch(name: str, count: int = 1, **more: Any) -> dict[str, Any]:
    one = {"time_ms": now_ms(), "latency_s": 0.002, "inputs": {"hour": 7}, "outputs": {"probability": 0.4}}
    return {"batch": name, "endpoint": "delay", "observations": [one] * count, **more}


def count(world: World) -> int:
    with world.project.database.read() as connection:
        found = list_windows(connection, "delay")
    return merge_windows(found).request_count if found else 0


def test_a_batch_counts_once_in_json_and_in_messagepack(client: TestClient, world: World) -> None:
    before = count(world)
    first = client.post(f"{PREFIX}/observations", json=batch("twice", 2))
    again = client.post(f"{PREFIX}/observations", json=batch("twice", 2))
    packed = client.post(
        f"{PREFIX}/observations",
        content=msgspec.msgpack.encode(batch("packed", 3)),
        headers={"Content-Type": "application/msgpack"},
    )
    assert [one.status_code for one in (first, again, packed)] == [200, 200, 200], packed.text
    assert [one.json()["is_new"] for one in (first, again, packed)] == [True, False, True]
    assert count(world) == before + 5
    ids = first.json()["prediction_ids"]
    labels = [{"prediction_id": one, "label": 1} for one in ids]
    told = client.post(f"{PREFIX}/endpoints/delay/feedback", json=labels)
    assert (told.status_code, told.json()["accepted"]) == (200, 2)


def test_a_sender_says_what_its_clock_shows(client: TestClient) -> None:
    hours_ms = 2 * 3_600_000
    sent = batch("ahead")
    sent["observations"][0]["time_ms"] += hours_ms
    done = client.post(f"{PREFIX}/observations?now_ms={now_ms() + hours_ms}", json=sent)
    assert (done.status_code, done.json()["moved_to_now"]) == (200, 0)
    assert done.json()["sender_ahead_ms"] == pytest.approx(hours_ms, abs=60_000)
    for odd in ("soon", "-1", "1.5", "9" * 16):
        refused = client.post(f"{PREFIX}/observations?now_ms={odd}", json=batch("odd"))
        assert refused.status_code == 400, refused.text
        assert "now_ms" in refused.text


def test_odd_rows_are_taken_whole_or_refused_and_never_half(client: TestClient, world: World) -> None:
    world.policy(POLICY.replace("windows: 10}", "windows: 10, payloads: {sample: 1}}"))
    odd: list[Any] = [
        [], "x", 1, None, True, [1, 2], [[1, 2], [3]], [[], []], [[]], {}, {"a": 1}, {"a": []}, [{"a": 1}, {"b": [1]}],
        [None], ["a", 1], [[[1]]], [[None]], [1, [2]], {"": 1}, 10**30,
    ]  # fmt: skip
    inputs = [*({"age": one} for one in odd), *odd, {"age": [1, 2], "plan": ["a", "b", "c"]}]
    for index, answer in enumerate(
        ({}, [], None, 0.5, [0.5, 0.6], {"probability": []}, {"probability": [1, 2]})
    ):
        before, sent = count(world), batch(f"odd-{index}", len(inputs))
        sent["observations"] = [
            {**one, "inputs": asked, "outputs": answer}
            for one, asked in zip(sent["observations"], inputs, strict=True)
        ]
        told = client.post(f"{PREFIX}/observations", json=sent)
        assert (told.status_code, count(world)) == (200, before + len(inputs)), told.text
        known = read_payloads(world.project, "delay")["prediction_id"]
        assert set(told.json()["prediction_ids"]) <= set(known), answer


def test_the_version_that_is_wanted_is_told(client: TestClient, world: World) -> None:
    found = client.get(f"{PREFIX}/endpoints/delay/current").json()
    assert (found["model"], found["version"], found["revision"]) == ("m", 1, 1)
    assert client.get(f"{PREFIX}/endpoints/none/current").status_code == 404


def test_a_wrong_body_is_refused_whatever_is_wrong_with_it(client: TestClient, world: World) -> None:
    before = count(world)
    one = batch("w")["observations"][0]
    bodies: list[bytes] = [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b'{"batch": 1, "endpoint": "delay"}',
        *map(msgspec.json.encode, (
            batch(""), batch("a b"), batch("w", endpoint=None), batch("w", observations="x"),
            batch("w", observations=[{**one, "latency_s": "x"}]), batch("w", observations=[{**one, "time_ms": 0}]),
            batch("w", observations=[{**one, "latency_s": -1}]), batch("w", observations=[{**one, "id": "x"}]),
            batch("w", observations=[{**one, "version": 7}]), batch("w", observations=[{**one, "more": 7}]),
            batch("w", missed=[{"time_ms": 1, "request_count": -1}]), batch("w", more=1),
        )),
    ]  # fmt: skip
    for body in bodies:
        answer = client.post(f"{PREFIX}/observations", content=body)
        assert answer.status_code == 400, (body[:80], answer.status_code, answer.text)
        assert answer.json()["code"], body
    for body in (b"{}", b"x", msgspec.json.encode([{"prediction_id": "x", "label": 1}])):
        answer = client.post(f"{PREFIX}/endpoints/delay/feedback", content=body)
        assert answer.status_code == 400, (body, answer.text)
    assert client.post(f"{PREFIX}/observations", json=batch("w", endpoint="none")).status_code == 404
    assert count(world) == before


def test_who_may_send_labels_may_tell_also_with_a_narrow_token(world: World) -> None:
    app = build_server_app(world.project, ControllerLoop(world.project), asks_for_credentials=True)
    asking = TestClient(app)
    with world.project.database.write() as connection:
        for name, role in (("rita", "reader"), ("will", "writer"), ("nina", "none")):
            add_user(connection, name, role, "correct-horse-1", "ada")
        set_grant(connection, Grant(user="nina", kind="model", resource="m", role="writer"), "ada")
        tokens = {
            "narrow": create_token(connection, "will", "ada", scopes=("feedback",), endpoints=("delay",))[1],
            "elsewhere": create_token(connection, "will", "ada", scopes=("feedback",), endpoints=("other",))[
                1
            ],
            "infer": create_token(connection, "will", "ada", scopes=("infer",))[1],
        }
    who: dict[str, dict[str, Any]] = {
        "nobody": {},
        "rita": {"auth": ("rita", "correct-horse-1")},
        "will": {"auth": ("will", "correct-horse-1")},
        "nina": {"auth": ("nina", "correct-horse-1")},
        "wrong": {"auth": ("will", "wrong-horse-22")},
        **{name: {"headers": {"Authorization": f"Bearer {token}"}} for name, token in tokens.items()},
    }
    asks: dict[str, Callable[[dict[str, Any]], Any]] = {
        "tell": lambda more: asking.post(f"{PREFIX}/observations", json=batch("auth"), **more),
        "labels": lambda more: asking.post(f"{PREFIX}/endpoints/delay/feedback", json=[], **more),
        "current": lambda more: asking.get(f"{PREFIX}/endpoints/delay/current", **more),
    }
    found = {name: {ask: work(more).status_code for ask, work in asks.items()} for name, more in who.items()}
    may, none = {"tell": 200, "labels": 200, "current": 200}, {"tell": 401, "labels": 401, "current": 401}
    reads = {"tell": 403, "labels": 403, "current": 200}
    assert found == {
        "nobody": none,
        "wrong": none,
        "rita": reads,
        "will": may,
        "nina": may,
        "narrow": may,
        "elsewhere": {"tell": 403, "labels": 403, "current": 403},
        "infer": reads,
    }
    narrow = who["narrow"]
    assert asking.get(f"{PREFIX}/endpoints", **narrow).status_code == 403
    assert asking.get(f"{PREFIX}/observations", **who["nobody"]).status_code == 401


def test_a_body_that_is_too_large_is_refused(client: TestClient, tmp_path: Path) -> None:
    answer = client.post(f"{PREFIX}/observations", content=b" " * (65 << 20))
    assert answer.status_code == 413
