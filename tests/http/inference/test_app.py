from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import httpx
import pytest

from penstock.processes.serve import ServeProcess
from serving.models import request_body
from tables import table

pytestmark = pytest.mark.slow


def infer(server: ServeProcess, body: Any, path: str = "delay/infer", **options: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v2/models/{path}", json=body, **options)


def test_an_inference_request_is_answered_with_outputs_and_its_identity(server: ServeProcess) -> None:
    response = infer(server, request_body(3))
    answer = response.json()
    assert response.status_code == 200, answer
    assert [one["name"] for one in answer["outputs"]] == ["prediction", "probability"]
    assert answer["outputs"][1]["shape"] == [3]
    assert answer["model_name"] == "delay"
    assert answer["model_version"] == "1"
    assert answer["id"] == response.headers["penstock-prediction-id"]
    assert answer["parameters"] == {
        "penstock-prediction-id": answer["id"],
        "penstock-revision": 1,
        "penstock-model-version": 1,
        "penstock-route": "stable",
    }
    assert response.headers["penstock-revision"] == "1"


def test_the_request_id_is_echoed(server: ServeProcess) -> None:
    assert infer(server, {**request_body(), "id": "mine"}).json()["id"] == "mine"


@table(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"inputs": []}',
        json.dumps(request_body(wind={"datatype": "FP64", "data": [float("nan")]})).encode(),
        json.dumps(request_body(wind={"datatype": "BF16", "data": [1.0]})).encode(),
        json.dumps(request_body(wind={"datatype": "FP65", "data": [1.0]})).encode(),
        json.dumps(request_body(wind={"datatype": "FP64", "data": [1.0, 2.0]})).encode(),
        json.dumps(request_body(wind={"datatype": "FP64", "data": ["1"]})).encode(),
        json.dumps(request_body(wind={"datatype": "FP64", "data": [[1.0], 2.0]})).encode(),
        json.dumps(request_body(wind={"datatype": "FP64"})).encode(),
        json.dumps(request_body(wind={"datatype": "FP64", "data": 1.0})).encode(),
        json.dumps(request_body(wind={"datatype": "FP64", "data": [True]})).encode(),
        json.dumps(request_body(hour={"datatype": "FP64", "data": [18.0]})).encode(),
        json.dumps(request_body(hour={"datatype": "INT64", "data": [18.5]})).encode(),
        json.dumps(request_body(hour={"datatype": "INT64", "data": [None]})).encode(),
        json.dumps(request_body(hour={"datatype": "INT64", "data": [2**70]})).encode(),
        json.dumps(request_body(hour={"datatype": "INT8", "data": [200]})).encode(),
        json.dumps(request_body(hours={"datatype": "INT64", "data": [1]})).encode(),
        json.dumps(request_body(hour={"shape": [-1]})).encode(),
        json.dumps(request_body(hour={"shape": [1, 2]})).encode(),
        json.dumps(request_body(hour={"shape": [0], "data": []})).encode(),
        json.dumps(request_body(hour={"shape": [1000000000000]})).encode(),
        json.dumps(request_body(hour={"shape": []})).encode(),
        json.dumps({**request_body(), "outputs": [{"name": "nope"}]}).encode(),
        json.dumps({"inputs": request_body()["inputs"][1:]}).encode(),
        json.dumps({"inputs": request_body()["inputs"] * 2}).encode(),
        json.dumps({"inputs": [*request_body()["inputs"], request_body(2)["inputs"][0]]}).encode(),
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_request_that_does_not_fit_is_the_clients_mistake(server: ServeProcess, body: bytes) -> None:
    response = httpx.post(f"{server.url}/v2/models/delay/infer", content=body)
    assert response.status_code == 400, response.text
    assert set(response.json()) >= {"error", "code"}
    assert response.json()["error"]


def test_narrower_numbers_nested_data_and_null_are_understood(server: ServeProcess) -> None:
    narrow = request_body(
        hour={"datatype": "INT32", "data": [[18]], "shape": [1, 1]}, wind={"datatype": "FP32", "data": [None]}
    )
    assert infer(server, narrow).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nope/infer", 404),
        ("delay/versions/9/infer", 404),
        ("delay/versions/x/infer", 404),
        ("delay/versions/1/infer", 200),
        ("delay/nope", 404),
    ],
)
def test_names_that_do_not_exist_are_not_found(server: ServeProcess, path: str, status: int) -> None:
    response = infer(server, request_body(), path)
    assert response.status_code == status
    assert status == 200 or response.json()["error"]


def test_a_version_that_is_asked_for_by_number_counts_for_the_route_it_has(server: ServeProcess) -> None:
    assert infer(server, request_body(), "delay/versions/1/infer").headers["penstock-route"] == "stable"


def test_a_wrong_method_is_told_in_json(server: ServeProcess) -> None:
    response = httpx.get(f"{server.url}/v2/models/delay/infer")
    assert response.status_code == 405
    assert response.json()["error"]


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2", "/v2/models/delay", "/v2/models/delay/ready", "/v2/models/delay/versions/1", "/v2/models/delay/versions/1/ready", "/health"])  # fmt: skip
def test_every_metadata_route_answers(server: ServeProcess, path: str) -> None:
    assert httpx.get(server.url + path).status_code == 200


def test_model_metadata_describes_the_signature(server: ServeProcess) -> None:
    described = httpx.get(f"{server.url}/v2/models/delay").json()
    assert described["platform"] == "penstock_sklearn"
    assert described["versions"] == ["1"]
    assert described["inputs"][0] == {"name": "hour", "datatype": "INT64", "shape": [-1]}
    assert described["inputs"][3]["parameters"] == {"optional": True}


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_read(server: ServeProcess, encoding: str, pack: Any) -> None:
    body = pack(json.dumps(request_body()).encode())
    url = f"{server.url}/v2/models/delay/infer"
    assert httpx.post(url, content=body, headers={"content-encoding": encoding}).status_code == 200
    assert httpx.post(url, content=body[:-6], headers={"content-encoding": encoding}).status_code == 400
    assert httpx.post(url, content=b"{}", headers={"content-encoding": "br"}).status_code == 415


def test_a_body_beyond_the_limit_is_refused_also_when_it_is_small_on_the_wire(server: ServeProcess) -> None:
    bomb = gzip.compress(bytes(70 << 20), 9)
    response = httpx.post(
        f"{server.url}/v2/models/delay/infer", content=bomb, headers={"content-encoding": "gzip"}
    )
    assert response.status_code == 413
    assert response.json()["code"] == "http.body_too_large"


@pytest.mark.parametrize("header", ["-1", "x", "99999999", "99999999999999999999", "5"])
def test_a_wrong_json_length_is_the_clients_mistake(server: ServeProcess, header: str) -> None:
    response = httpx.post(
        f"{server.url}/v2/models/delay/infer",
        content=json.dumps(request_body()).encode(),
        headers={"inference-header-content-length": header},
    )
    assert response.status_code == 400


@pytest.mark.parametrize(
    "labels",
    [
        b"{}",
        b"x",
        b'[{"prediction_id": "abc", "label": 1}]',
        b'[{"prediction_id": 5, "label": 1}]',
        b'[{"label": 1}]',
    ],
)
def test_feedback_that_cannot_be_read_is_the_clients_mistake(server: ServeProcess, labels: bytes) -> None:
    response = httpx.post(f"{server.url}/v2/models/delay/feedback", content=labels)
    assert response.status_code == 400
    assert response.json()["error"]


def test_a_label_that_no_output_can_be_is_the_clients_mistake_and_the_others_are_taken(
    server: ServeProcess,
) -> None:
    url = f"{server.url}/v2/models/delay/feedback"
    first, second = (infer(server, request_body()).headers["penstock-prediction-id"] for _ in range(2))
    entries = [{"prediction_id": first, "label": [-(10**400)]}, {"prediction_id": second, "label": 1}]
    alone = httpx.post(url, content=json.dumps(entries[:1]))
    assert (alone.status_code, alone.json()["code"]) == (400, "serving.bad_feedback")
    assert alone.json()["error"].startswith("a label is a whole number beyond 1.8e+308")
    both = httpx.post(url, content=json.dumps(entries)).json()
    assert (both["accepted"], [one["index"] for one in both["rejected"]]) == (1, [0])


def test_feedback_reports_what_became_of_each_label(server: ServeProcess) -> None:
    url = f"{server.url}/v2/models/delay/feedback"
    made = infer(server, request_body(2)).headers["penstock-prediction-id"]
    labels = [{"prediction_id": made, "label": [1, None]}, {"prediction_id": "bad", "label": 1}]
    first = httpx.post(url, json=labels).json()
    assert (first["accepted"], len(first["rejected"])) == (1, 1)
    assert httpx.post(url, json=labels[:1]).json()["duplicate"] == 1
    assert httpx.post(url, json=[{"prediction_id": made, "label": 1}]).json()["misfit"] == 1
    assert httpx.post(url, json=[{"prediction_id": made, "label": [0, 1]}]).json()["corrected"] == 1
