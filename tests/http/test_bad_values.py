"""A client's bad value is the client's mistake: a 400 with a reason, never a failure of the model."""

from __future__ import annotations

import json
import struct

import httpx
import pytest

from penstock.processes.serve import ServeProcess

GOOD = {"hour": [12], "distance": [900.0], "carrier": ["AA"]}
TYPES = {"hour": "INT64", "distance": "FP64", "carrier": "BYTES"}


def body(**changes: str) -> bytes:
    inputs = [
        f'{{"name": "{name}", "shape": [1], "datatype": "{TYPES[name]}", "data": {changes.get(name, json.dumps(values))}}}'
        for name, values in GOOD.items()
    ]
    return f'{{"inputs": [{", ".join(inputs)}]}}'.encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"distance": "[null]"},
        {"carrier": "[null]"},
        {"distance": "[1e400]"},
        {"distance": "[[-1e999]]"},
        {"hour": "[null]"},
    ],
)
def test_a_missing_or_endless_value_is_refused(server: ServeProcess, changes: dict[str, str]) -> None:
    assert httpx.post(f"{server.url}/v2/models/delay/infer", content=body()).status_code == 200
    answer = httpx.post(f"{server.url}/v2/models/delay/infer", content=body(**changes))
    assert answer.status_code == 400, answer.text
    assert next(iter(changes)) in answer.json()["error"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_binary_value_that_is_no_number_is_refused(server: ServeProcess, value: float) -> None:
    inputs = [
        {"name": "hour", "shape": [1], "datatype": "INT64", "data": [1]},
        {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["AA"]},
        {"name": "distance", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}},
    ]
    head = json.dumps({"inputs": inputs}).encode()
    answer = httpx.post(
        f"{server.url}/v2/models/delay/infer",
        content=head + struct.pack("<d", value),
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert answer.status_code == 400
    assert "distance" in answer.json()["error"]
