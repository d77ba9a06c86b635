"""Arrow streams, and events of the payload loggers of KServe and Seldon, as observations."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from flows.production.endpoints import POLICY, World
from penstock.base.clock import now_ms
from penstock.flows.production.payloads.reading import read_payloads
from penstock.http.app import build_server_app
from penstock.http.operations import PREFIX
from penstock.monitoring.windows import Window, list_windows, merge_windows
from penstock.processes.controller import ControllerLoop
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.stored import list_predictions
from penstock.serving.told.events import forget_halves, halves
from penstock.serving.told.payloads import values_of

ARROW = {"content-type": "application/vnd.apache.arrow.stream"}
URL = f"{PREFIX}/observations"
KSERVE, SELDON = "org.kubeflow.serving.inference.", "io.seldon.serving.inference."


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store with the endpoint `delay` at `m/1`."""
    made = World(tmp_path_factory.mktemp("others"))
    made.version(1)
    made.deploy(1)
    yield made
    made.project.close()


@pytest.fixture(scope="module")
def client(world: World) -> TestClient:
    return TestClient(build_server_app(world.project, ControllerLoop(world.project)))


def whole(world: World) -> Window | None:
    with world.project.database.read() as connection:
        found = list_windows(connection, "delay")
    return merge_windows(found) if found else None


def count(world: World) -> int:
    found = whole(world)
    return found.request_count if found else 0


def stream(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer)
    return buffer.getvalue()


def answers(world: World, ids: list[str]) -> list[dict[str, Any]]:
    with world.project.database.read() as connection:
        rows = list_predictions(connection, ids)
    return [{name: one.tolist() for name, one in decode_columns(row.outputs).items()} for row in rows]


def test_an_arrow_stream_says_what_json_says_in_structs_or_in_columns(
    client: TestClient, world: World
) -> None:
    before = count(world)
    plain = {"time_ms": [now_ms()] * 3, "latency_s": [0.01, 0.02, 0.03], "error": [None, None, "Timeout"]}
    flat = pl.DataFrame(
        {**plain, "inputs.hour": [1, 2, 3], "inputs.carrier": ["AA", "DL", None], "outputs.probability": [0.1, 0.2, None]}
    )  # fmt: skip
    nested = pl.DataFrame(
        {**plain, "inputs": [{"hour": 1}, {"hour": 2}, {"hour": 3}], "outputs": [{"probability": 0.1}, {"probability": 0.2}, None]}
    )  # fmt: skip
    for name, frame in (("flat", flat), ("nested", nested)):
        ask = f"{URL}?endpoint=delay&batch=arrow-{name}&model=m/1"
        done = client.post(ask, content=stream(frame), headers=ARROW)
        assert done.status_code == 200, done.text
        again = client.post(ask, content=stream(frame), headers=ARROW)
        assert [done.json()["is_new"], again.json()["is_new"]] == [True, False]
        assert answers(world, done.json()["prediction_ids"]) == [
            {"probability": [0.1]},
            {"probability": [0.2]},
        ]
    found = whole(world)
    assert found is not None
    assert (found.request_count - before, found.error_count) == (6, 2)
    assert {"hour", "carrier"} <= set(found.features.column_names)


def test_lists_of_unlike_lengths_in_a_stream_are_taken_whole(client: TestClient, world: World) -> None:
    world.policy(POLICY.replace("windows: 10}", "windows: 10, payloads: {sample: 1}}"))
    plain = {"time_ms": [now_ms()] * 3, "latency_s": [0.01] * 3}
    for index, more in enumerate(
        ({}, {"outputs.probability": [0.1, 0.2, 0.3]}, {"outputs.p": [[0.1], [], None]})
    ):
        before = count(world)
        frame = pl.DataFrame({**plain, "inputs.age": [[1, 2], [3], []], **more})
        ask = f"{URL}?endpoint=delay&batch=lists-{index}"
        done = client.post(ask, content=stream(frame), headers=ARROW)
        assert (done.status_code, count(world)) == (200, before + 3), done.text
        assert set(done.json()["prediction_ids"]) <= set(
            read_payloads(world.project, "delay")["prediction_id"]
        )


def test_a_stream_that_is_none_is_refused_with_the_reason(client: TestClient, world: World) -> None:
    before, good = count(world), pl.DataFrame({"time_ms": [now_ms()], "latency_s": [0.1]})
    asked = f"{URL}?endpoint=delay&batch=bad"
    cases = {
        "not an Arrow": (asked, b"no arrow"),
        "needs ?endpoint": (URL, stream(good)),
        "called time_ms": (asked, stream(good.with_columns(hour=1))),
        "latency_s": (asked, stream(good.drop("latency_s"))),
        "stands both": (asked, stream(good.with_columns(pl.struct(a=1).alias("inputs"), pl.lit(1).alias("inputs.a")))),
        "not a batch": (asked, stream(good.with_columns(latency_s=pl.lit("x")))),
        "at most": (asked, stream(pl.concat([good] * 20_001))),
    }  # fmt: skip
    for reason, (where, body) in cases.items():
        answer = client.post(where, content=body, headers=ARROW)
        assert answer.status_code == 400, (reason, answer.text)
        assert reason in answer.json()["error"], (reason, answer.text)
    for cut in (8, 40, 100, 200):
        answer = client.post(asked, content=stream(good)[:cut], headers=ARROW)
        assert answer.status_code == 400, cut
    assert count(world) == before


def kserve(side: str, call: str, payload: Any, **more: str) -> dict[str, Any]:
    headers = {
        "ce-specversion": "1.0", "ce-id": call, "ce-type": KSERVE + side, "ce-source": "http://localhost:9081/",
        "ce-inferenceservicename": "delay", "ce-namespace": "models", "content-type": "application/json", **more,
    }  # fmt: skip
    return {"headers": headers, "content": json.dumps(payload)}


def test_both_events_of_a_call_are_one_observation_whichever_comes_first(
    client: TestClient, world: World
) -> None:
    asked = {"inputs": [{"name": "hour", "shape": [2, 1], "datatype": "FP64", "data": [7, 8]}]}
    told = {"outputs": [{"name": "probability", "shape": [2], "datatype": "FP64", "data": [0.25, 0.75]}]}
    first = {"ce-time": "2024-11-20T10:00:00.100Z"}
    later = {"ce-time": "2024-11-20T10:00:00.350Z"}
    for call, order in (("c1", ("request", "response")), ("c2", ("response", "request"))):
        before = count(world)
        events = {
            "request": kserve("request", call, asked, **first),
            "response": kserve("response", call, told, **later),
        }
        halfway, done = (client.post(URL, **events[side]) for side in order)
        assert (halfway.status_code, halfway.json()["observation_count"]) == (200, 0), halfway.text
        assert (done.status_code, done.json()["observation_count"]) == (200, 1), done.text
        assert answers(world, done.json()["prediction_ids"]) == [{"probability": [0.25, 0.75]}]
        for side in order:  # sent again, as a logger may that saw no answer
            again = client.post(URL, **events[side]).json()
            assert (again["is_new"], again["prediction_ids"]) == (False, done.json()["prediction_ids"])
        assert count(world) == before + 1
    with world.project.database.read() as connection:
        found = list_windows(connection, "delay", since_s=0)
    old = [one for one in found if one.key.start_s < 1_733_000_000]
    assert old
    assert 0.2 < merge_windows(old).quantile_s(0.5) < 0.3


def test_seldon_s_events_are_joined_by_the_id_of_the_request_also_in_structured_mode(
    client: TestClient, world: World
) -> None:
    before = count(world)
    asked = {"data": {"names": ["hour", "wind"], "ndarray": [[7, 10.5]]}}
    told = {"data": {"names": ["proba"], "tensor": {"shape": [1, 1], "values": [0.4]}}}
    common = {"specversion": "1.0", "source": "seldon", "requestid": "r1"}
    request = {**common, "id": "a", "type": SELDON + "request", "data": asked}
    packed = base64.b64encode(json.dumps(told).encode()).decode()
    response = {**common, "id": "b", "type": SELDON + "response", "data_base64": packed}
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    for event in (request, response):
        done = client.post(f"{URL}?endpoint=delay", content=json.dumps(event), headers=headers)
        assert done.status_code == 200, done.text
    assert done.json()["observation_count"] == 1
    assert count(world) == before + 1
    with world.project.database.write() as connection:
        forget_halves(connection, now_ms() + 1)
        assert connection.execute(halves.select()).first() is None


def test_a_batch_of_events_is_taken_once_whole_calls_and_halves_alike(
    client: TestClient, world: World
) -> None:
    before = count(world)

    def event(side: str, call: str, data: Any) -> dict[str, Any]:
        common = {"specversion": "1.0", "source": "broker", "inferenceservicename": "delay"}
        return {**common, "type": KSERVE + side, "id": call, "time": "2026-11-20T10:00:00Z", "data": data}

    asked, told = {"instances": [{"hour": 7}]}, {"predictions": [0.4]}
    sent = [event("response", "b1", told), event("request", "b2", asked), event("request", "b1", asked)]
    headers = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
    done, again = (client.post(URL, content=json.dumps(sent), headers=headers) for _ in range(2))
    assert (done.status_code, again.status_code) == (200, 200), done.text
    assert (done.json()["is_new"], done.json()["observation_count"]) == (True, 1)
    assert len(done.json()["prediction_ids"]) == 1
    assert again.json()["prediction_ids"] == done.json()["prediction_ids"]
    assert count(world) == before + 1
    rest = client.post(URL, content=json.dumps([event("response", "b2", told)]), headers=headers)
    assert (rest.json()["observation_count"], count(world)) == (1, before + 2)


def test_an_event_that_is_none_is_refused_with_the_reason(client: TestClient, world: World) -> None:
    good = {"instances": [{"hour": 7}]}
    structured = {"content-type": "application/cloudevents+json"}
    batched = {"content-type": "application/cloudevents-batch+json"}
    whole_event = {"type": KSERVE + "request", "id": "x", "inferenceservicename": "delay", "data": good}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("of the type", kserve("explain", "x", good)),
        ("no id", kserve("request", "", good)),
        ("no id", kserve("request", "x" * 300, good)),
        ("its time", kserve("request", "x", good, **{"ce-time": "yesterday"})),
        ("is no JSON", {**kserve("request", "x", good), "content": b"\x08\x01"}),
        ("not understood", kserve("request", "x", {"rows": []})),
        ("not understood", kserve("request", "x", [1, 2])),
        ("no data", kserve("request", "x", {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64"}]})),
        ("has 1 value", kserve("request", "x", {"inputs": [{"name": "a", "shape": [2], "data": [1]}]})),
        ("neither ndarray", kserve("request", "x", {"data": {"names": []}})),
        ("no JSON object", {"headers": structured, "content": "[]"}),
        ("it has no data", {"headers": structured, "content": json.dumps({"type": KSERVE + "request", "id": "x"})}),
        ("base 64", {"headers": structured, "content": json.dumps({"type": "t", "data_base64": "*"})}),
        ("one at least", {"headers": batched, "content": "[]"}),
        ("array of events", {"headers": batched, "content": "{}"}),
        ("event 2 of 2: it has no data", {"headers": batched, "content": json.dumps([whole_event, {"type": "t"}])}),
        ("event 2 of 2: it is no JSON object", {"headers": batched, "content": json.dumps([whole_event, 7])}),
        ("at most 1000", {"headers": batched, "content": json.dumps([whole_event] * 1001)}),
    ]  # fmt: skip
    for reason, sent in cases:
        answer = client.post(URL, **sent)
        assert answer.status_code == 400, (reason, answer.text)
        assert reason in answer.json()["error"], answer.text
    nameless = kserve("request", "x", good)
    del nameless["headers"]["ce-inferenceservicename"]
    assert "whose call" in client.post(URL, **nameless).json()["error"]
    unknown = kserve("request", "x", good, **{"ce-inferenceservicename": "none"})
    assert client.post(URL, **unknown).status_code == 404


def test_payloads_of_each_protocol_are_columns_or_rows() -> None:
    matrix = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [[1, 2], [3, 4]]}]}
    cases: list[tuple[dict[str, Any], Any]] = [
        (matrix, [[1, 2], [3, 4]]),
        ({"instances": [[1, 2]]}, [[1, 2]]),
        ({"predictions": [0.5]}, [0.5]),
        ({"inputs": {"a": [1]}}, {"a": [1]}),
        ({"data": {"ndarray": [1, 2]}}, [1, 2]),
        ({"data": {"names": [], "tensor": {"shape": [1, 2], "values": [1, 2]}}}, [[1, 2]]),
        ({"jsonData": {"a": 1}}, {"a": 1}),
        ({"strData": "late"}, "late"),
        ({"inputs": [{"name": "x", "shape": [0], "datatype": "FP64", "data": []}]}, {"x": []}),
    ]
    for payload, wanted in cases:
        assert values_of(payload) == wanted, payload
