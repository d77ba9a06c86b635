"""Whatever is sent over HTTP is answered rightly: 200 as the OpenAPI document says, or the client's mistake."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import httpx
import hypothesis
import jsonschema
import numpy as np
import pytest
import schemathesis
from schemathesis import GenerationMode

from fuzz.mutating import change_bytes, change_json
from patience import PATIENCE_S
from penstock.processes.serve import ServeProcess

pytestmark = pytest.mark.slow
TOLD = {(504, "serving.deadline"), (503, "serving.unloaded")}
JSON_SIZE = "inference-header-content-length"


CONTENT_TYPES = ["text/csv", "text/csv; charset=utf-8", "text/csv; charset=latin-1", "text/csv; charset=no", "application/json", "x", ""]  # fmt: skip


def check(answer: httpx.Response, document: dict[str, Any]) -> None:
    """Check that an answer is what the document allows, and no failure of the server."""
    shown = f"{answer.request.url.path} {answer.status_code} {answer.text[:300]!r}"
    assert answer.status_code < 500 or (answer.status_code, answer.json()["code"]) in TOLD, shown
    if JSON_SIZE in answer.headers:
        told = json.loads(answer.content[: int(answer.headers[JSON_SIZE])])
    else:
        assert answer.headers["content-type"] == "application/json", shown
        told = answer.json()
    name = "Error" if answer.status_code >= 400 else None
    if answer.status_code == 200 and answer.request.url.path.endswith("/infer"):
        name = "Answer"
    if name is not None:
        schemas = {"components": document["components"], "$ref": f"#/components/schemas/{name}"}
        jsonschema.validate(told, schemas)


def test_the_documents_example_is_answered_when_it_is_pasted(fuzzed: ServeProcess) -> None:
    for path in ("/openapi.json", "/v2/models/delay/openapi.json"):
        document = httpx.get(fuzzed.url + path).json()
        asked = document["paths"]["/v2/models/delay/infer"]["post"]["requestBody"]["content"][
            "application/json"
        ]
        names = [one["title"] for one in asked["schema"]["properties"]["inputs"]["items"]["anyOf"]]
        assert names == ["hour", "distance", "carrier", "wind"]
        jsonschema.validate(asked["example"], asked["schema"])
        answer = httpx.post(f"{fuzzed.url}/v2/models/delay/infer", json=asked["example"])
        assert answer.status_code == 200, answer.text
        check(answer, document)
    assert httpx.get(f"{fuzzed.url}/v2/models/nope/openapi.json").status_code == 404


def test_what_the_schema_generates_and_what_it_forbids_is_answered_rightly(
    fuzzed: ServeProcess, requests_wanted: int
) -> None:
    document = httpx.get(f"{fuzzed.url}/v2/models/delay/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    operations = [one.ok() for one in schema.get_all_operations()]
    assert len(operations) == 4
    sent = 0
    with httpx.Client(base_url=fuzzed.url, timeout=PATIENCE_S) as client:

        def send(case: Any) -> None:
            nonlocal sent
            sent += 1
            kept = {} if isinstance(case.body, schemathesis.core.NotSet) else {"json": case.body}
            try:
                content = json.dumps(kept["json"]).encode() if kept else b""
            except (TypeError, ValueError):
                content = repr(case.body).encode()
            path = case.formatted_path if hasattr(case, "formatted_path") else case.path
            answer = client.request(case.method, path, content=content)
            check(answer, document)

        for operation in operations:
            share = max(8, requests_wanted // 80)
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                if mode is GenerationMode.NEGATIVE and not operation.body:
                    continue
                strategy = operation.as_strategy(generation_mode=mode)
                hypothesis.settings(
                    max_examples=share,
                    deadline=None,
                    database=None,
                    derandomize=True,
                    suppress_health_check=list(hypothesis.HealthCheck),
                )(hypothesis.given(strategy)(send))()
    assert sent > 30


def test_requests_that_are_nearly_right_are_answered_rightly(
    fuzzed: ServeProcess, requests_wanted: int
) -> None:
    chance = random.Random(20261128)
    document = httpx.get(f"{fuzzed.url}/openapi.json").json()
    example = document["paths"]["/v2/models/delay/infer"]["post"]["requestBody"]["content"][
        "application/json"
    ]["example"]
    labels = [{"prediction_id": "x" * 31, "label": [1, None]}]
    scoring = {"dataframe_split": {"columns": ["hour", "distance", "carrier"], "data": [[5, 900.0, "AA"]]}}
    head, tail = binary_request(example)
    statuses: dict[int, int] = {}
    with httpx.Client(base_url=fuzzed.url, timeout=PATIENCE_S) as client:
        for number in range(requests_wanted):
            headers: dict[str, str] = {}
            path, content = "/v2/models/delay/infer", b""
            kind, method = number % 10, "POST"
            if kind < 2:
                content = change_json(example, chance)
            elif kind == 2:
                content = change_bytes(json.dumps(example).encode(), chance)
            elif kind == 3:
                begin = change_bytes(head, chance) if chance.random() < 0.3 else head
                content = begin + (tail if chance.random() < 0.3 else change_bytes(tail, chance))
                headers[JSON_SIZE] = str(len(begin) + chance.choice([0, 0, 0, 0, -1, 1, -len(begin), 10**6]))
            elif kind == 4:
                path = chance.choice(["/v2/models/delay/feedback", "/v2/repository/index"])
                content = change_json(labels, chance)
            elif kind == 5:
                path, content = "/invocations", change_json(scoring, chance)
                headers = {"penstock-endpoint": chance.choice(["delay", "delay", "spare", "nope", ""])}
            elif kind == 6:
                path, content = (
                    "/invocations",
                    change_bytes(b"hour,distance,carrier\n5,900.0,AA\n,,\n", chance),
                )
                headers = {"penstock-endpoint": "delay", "content-type": chance.choice(CONTENT_TYPES)}
            elif kind == 7:
                made = client.post("/v2/models/delay/infer", json=example).headers["penstock-prediction-id"]
                path = f"/v2/models/{chance.choice(['delay', 'spare', 'delay/versions/1'])}/feedback"
                content = change_json([{"prediction_id": made, "label": 1, "time": 1}], chance)
            elif kind == 8:
                path = (
                    f"/v2/repository/models/{odd_name(chance, 'spare')}/{chance.choice(['load', 'unload'])}"
                )
                content = change_json({"parameters": {}}, chance) if chance.random() < 0.5 else b""
            else:
                method, rest = (
                    "GET",
                    chance.choice(["", "/ready", "/config", "/stats", "/openapi.json", "/infer"]),
                )
                version = f"/versions/{odd_name(chance, '1')}" if chance.random() < 0.5 else ""
                path = f"/v2/models/{odd_name(chance, 'delay')}{version}{rest}"
            if chance.random() < 0.1:
                content = gzip.compress(content)
                content = change_bytes(content, chance) if chance.random() < 0.5 else content
                headers["content-encoding"] = chance.choice(["gzip", "deflate", "br", "identity"])
            answer = client.request(method, path, content=content, headers=headers)
            if answer.status_code != 307:  # a slash too many
                check(answer, document)
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
    print("REST answers by status:", statuses)
    assert statuses[200] and statuses[400]


def odd_name(chance: random.Random, right: str) -> str:
    """Return a name for a path: the right one, or an odd one."""
    odd = (
        "nope",
        "%00",
        "%ff",
        "..%2f",
        "a" * 5000,
        "%C3%9C",
        "-1",
        "0",
        "9" * 30,
        "1e3",
        "%20",
        "%0a",
        "*",
        "stats",
    )
    return right if chance.random() < 0.5 else chance.choice(odd)


def binary_request(example: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return the JSON and the tensors of the same request in binary."""
    blobs = []
    inputs = []
    for one in example["inputs"]:
        if one["datatype"] == "BYTES":
            texts = [text.encode() for text in one["data"]]
            blob = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        else:
            blob = np.array(one["data"], dtype="<i8" if one["datatype"] == "INT64" else "<f8").tobytes()
        blobs.append(blob)
        inputs.append(
            {
                **{name: one[name] for name in ("name", "shape", "datatype")},
                "parameters": {"binary_data_size": len(blob)},
            }
        )
    return json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode(), b"".join(
        blobs
    )
