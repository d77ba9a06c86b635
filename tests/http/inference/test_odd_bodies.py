from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import sharing
from patience import PATIENCE_S
from penstock.base.store.database import connect, metadata
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from serving.fixtures import train
from serving.models import FolderSource, deploy, files_of, request_body

Body = dict[str, Any]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("odd")
    database = connect(f"sqlite:///{folder}/penstock.db")
    metadata.create_all(database.engine)
    made: Path = sharing.made("serving-models", train)
    source = FolderSource(*(files_of(made, number, seed=number) for number in (1, 2)))
    deploy(database, "delay", 1)
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0))
    process.start()
    with httpx.Client(base_url=process.url, timeout=PATIENCE_S) as answering:
        yield answering
    process.stop()
    database.close()


def wind(shape: Any, data: Any, datatype: str = "FP64") -> bytes:
    body = request_body()
    body["inputs"].append({"name": "wind", "shape": shape, "datatype": datatype, "data": data})
    return json.dumps(body).encode()


def nested(depth: int) -> str:
    return "[" * depth + "1" + "]" * depth


def test_odd_but_parseable_bodies_are_the_clients_mistake(client: httpx.Client) -> None:
    text = json.dumps(request_body())
    bodies = {
        "65 dimensions": wind([1] * 65, [1.0]),
        "a product over 2^63": wind([2**40, 2**40], []),
        "a product over 2^63 beside a zero": wind([2**62, 4, 0], []),
        "a dimension over 2^63": wind([2**70], []),
        "a dimension of many digits": wind([10**400], []),
        "1,000 nested lists": wind([1], "DEEP").replace(b'"DEEP"', nested(1000).encode()),
        "1,000 nested lists, and as many dimensions": wind([1] * 1000, "DEEP").replace(
            b'"DEEP"', nested(1000).encode()
        ),
        "100,000 nested lists": wind([1], "DEEP").replace(b'"DEEP"', nested(100_000).encode()),
        "deep parameters": text.replace("{", '{"parameters": {"a": ' + nested(1000) + "},", 1).encode(),
        "a ragged list": wind([2, 2], [[1.0], [1.0, 2.0]]),
        "a shape of zero": wind([0], []),
        "no dimension": wind([], 1.0),
        "text that is not UTF-8": text.replace('"AA"', '"A\u00c1"')
        .encode("latin-1")
        .replace(b"\\u00c1", b"\xc1"),
        "a lone surrogate": text.replace('"AA"', '"\\ud800"').encode(),
        "a number of 400 digits": wind([1], "BIG").replace(b'"BIG"', b"9" * 400),
        "an exponent that overflows": wind([1], "BIG").replace(b'"BIG"', b"1e999"),
        "a timeout that is none": json.dumps({**request_body(), "parameters": {"timeout": -1}}).encode(),
        "a timeout of text": json.dumps({**request_body(), "parameters": {"timeout": "1"}}).encode(),
        "classes of nothing": json.dumps(
            {**request_body(), "outputs": [{"name": "prediction", "parameters": {"classification": 0}}]}
        ).encode(),
        "a null for an id": json.dumps({**request_body(), "id": 7}).encode(),
    }
    for name, body in bodies.items():
        answer = client.post("/v2/models/delay/infer", content=body)
        assert answer.status_code == 400, f"{name}: {answer.status_code} {answer.text[:200]}"
        assert answer.json()["error"], name
    labels = f'[{{"prediction_id": "x", "label": {nested(1000)}}}]'
    for deep in (labels, nested(1000), labels.replace("label", "other")):
        answer = client.post("/v2/models/delay/feedback", content=deep)
        assert answer.status_code == 400, answer.text[:200]
    for path in ("load", "unload"):
        answer = client.post(f"/v2/repository/models/delay/{path}", content=nested(1000))
        assert answer.status_code == 400, answer.text[:200]


def test_every_name_of_no_encoding_and_members_that_follow_each_other_are_read(client: httpx.Client) -> None:
    body = json.dumps(request_body()).encode()
    members = b"".join(gzip.compress(body[start : start + 50]) for start in range(0, len(body), 50))
    for encoding, content, status in (
        ("Identity", body, 200),
        ("identity, gzip", gzip.compress(body), 200),
        ("GZIP", members, 200),
        ("x-gzip", members, 200),
        ("gzip", members + b"rest", 400),
        ("gzip", members[:-4], 400),
        ("gzip", b"", 400),
        ("br", body, 415),
        ("zstd", body, 415),
        ("gzip, gzip", gzip.compress(gzip.compress(body)), 415),
    ):
        answer = client.post(
            "/v2/models/delay/infer", content=content, headers={"content-encoding": encoding}
        )
        assert answer.status_code == status, f"{encoding}: {answer.text[:200]}"


def test_a_request_whose_time_is_over_is_told_so(client: httpx.Client) -> None:
    answer = client.post("/v2/models/delay/infer", json={**request_body(), "parameters": {"timeout": 1}})
    assert (answer.status_code, answer.json()["code"]) == (504, "serving.deadline")


def test_the_largest_classes_come_first_as_text(client: httpx.Client) -> None:
    wanted = [{"name": "probability", "parameters": {"classification": 2}}]
    answer = client.post("/v2/models/delay/infer", json={**request_body(2), "outputs": wanted}).json()
    [output] = answer["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 1])
    assert all(text.endswith(":0") and 0 <= float(text.partition(":")[0]) <= 1 for text in output["data"])
