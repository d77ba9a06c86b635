"""What a client sends for an input that not every version takes: whoever takes it is asked with it, however it was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from penstock.http.inference.app import build_inference_app
from penstock.records.signature import Column, Signature
from penstock.serving.dataplane import DataPlane
from penstock.serving.deployments import Canary, Revision
from penstock.serving.loaders import ModelFiles
from penstock.serving.loaders.model import Array, Columns
from penstock.serving.recorder import Exchange, RecorderState
from penstock.serving.repository import ModelRepository
from stories.live import wait_until

OUTPUTS = (Column("y", "FP64"),)
STABLE = Signature((Column("x", "FP64"),), OUTPUTS)
WINDY = Signature((Column("wind", "INT64", False), Column("x", "FP64")), OUTPUTS)
NARROW = Signature((Column("x", "INT64"),), OUTPUTS)
MISSING = -1000.0


class Summing:
    """Sums its inputs; what is not sent counts as `MISSING`."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        absent = np.full(row_count, MISSING)
        return {"y": sum(np.asarray(columns.get(one.name, absent), float) for one in self.signature.inputs)}


class Told:
    """Keeps what the data plane tells."""

    state = RecorderState(used_bytes=0, max_bytes=1, dropped={})

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def record(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)


Serve = Callable[..., tuple[TestClient, Told]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve signatures as versions 1, 2, … of `e`, the first as the stable one."""
    made: list[tuple[TestClient, DataPlane]] = []

    def begin(*signatures: Signature, **values: Any) -> tuple[TestClient, Told]:
        def fetch(model: str, version: int) -> ModelFiles:
            signature = signatures[version - 1]
            return ModelFiles(
                path=Path(), name=model, version=version, digest=f"{version}", flavour="sum", options={},
                signature=signature, example=None,
            )  # fmt: skip

        repository, told = ModelRepository(fetch, lambda files: Summing(files.signature)), Told()
        repository.expect(frozenset({"e"}))
        revision = Revision(
            **{
                "endpoint": "e", "endpoint_id": 1, "number": 1, "model": "m", "stable": 1, "canary": None,
                "shadows": (), "steps": (), "created_ms": 0, "actor": "a", "reason": "r", "previous": None,
                "cause": {}, **values,
            }
        )  # fmt: skip
        repository.apply(revision)
        plane = DataPlane(repository, told, told, worker=1)  # type: ignore[arg-type]
        client = TestClient(build_inference_app(plane), base_url="http://127.0.0.1")
        client.__enter__()
        made.append((client, plane))
        return client, told

    yield begin
    for client, plane in made:
        client.__exit__()
        plane.close()


def tensor(name: str, value: float, datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": datatype, "data": [value]}


def invoked(client: TestClient, body: bytes, kind: str = "application/json") -> tuple[str, float]:
    reply = client.post("/invocations", content=body, headers={"content-type": kind})
    assert reply.status_code == 200, reply.text
    return reply.headers["penstock-model-version"], reply.json()["predictions"][0]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"dataframe_records": [{"x": 1.0, "wind": 5}]}', "application/json"),
        (b'{"dataframe_split": {"columns": ["x", "wind"], "data": [[1.0, 5]]}}', "application/json"),
        (b"x,wind\n1.0,5\n", "text/csv"),
    ],
)
def test_a_canarys_own_input_reaches_it_through_mlflows_scoring(serve: Serve, body: bytes, kind: str) -> None:
    client, _ = serve(STABLE, WINDY, canary=Canary(2, 50.0))
    assert {invoked(client, body, kind) for _ in range(8)} == {("1", 1.0), ("2", 6.0)}


def test_what_a_canary_cannot_read_is_refused_by_it_alone_and_rows_have_the_order_of_the_stable_version(
    serve: Serve,
) -> None:
    client, _ = serve(STABLE, WINDY, canary=Canary(2, 50.0))
    body = json.dumps({"dataframe_records": [{"x": 1.0, "wind": 5.5}]})
    replies = [client.post("/invocations", content=body) for _ in range(8)]
    assert {one.status_code for one in replies} == {200, 400}
    assert {one.headers["penstock-model-version"] for one in replies if one.status_code == 200} == {"1"}
    assert {invoked(client, b'{"instances": [[1.0]]}') for _ in range(8)} == {
        ("1", 1.0),
        ("2", 1.0 + MISSING),
    }


def test_a_canary_of_a_narrower_type_is_asked_with_numbers_as_it_takes_them(serve: Serve) -> None:
    client, _ = serve(STABLE, NARROW, canary=Canary(2, 50.0))
    answers = {invoked(client, b'{"dataframe_records": [{"x": 3}]}') for _ in range(8)}
    assert answers == {("1", 3.0), ("2", 3.0)}


@pytest.mark.parametrize("path", ["/v2/models/e/infer", "/invocations"])
def test_a_shadow_gets_what_the_request_held_for_it(serve: Serve, path: str) -> None:
    client, told = serve(STABLE, WINDY, NARROW, shadows=(2, 3))
    if path == "/invocations":
        body: dict[str, Any] = {"dataframe_records": [{"x": 1, "wind": 5}]}
    else:
        body = {"inputs": [tensor("x", 1, "INT32"), tensor("wind", 5, "INT64")]}
    assert client.post(path, json=body).status_code == 200
    wait_until(lambda: len(told.exchanges) == 3)
    found = {
        one.version: (one.error, sorted(one.inputs), one.outputs["y"].tolist()) for one in told.exchanges
    }
    assert found == {1: (None, ["x"], [1.0]), 2: (None, ["wind", "x"], [6.0]), 3: (None, ["x"], [1.0])}


def test_a_shadow_finds_the_columns_of_a_nameless_table_by_name(serve: Serve) -> None:
    pair = Signature((Column("a", "FP64"), Column("b", "FP64")), OUTPUTS)
    other = Signature((Column("wind", "FP64", False), Column("b", "FP64")), OUTPUTS)
    client, told = serve(pair, other, shadows=(2,))
    table = {"name": "input-0", "shape": [1, 2], "datatype": "FP64", "data": [1.0, 2.0]}
    assert client.post("/v2/models/e/infer", json={"inputs": [table]}).status_code == 200
    wait_until(lambda: len(told.exchanges) == 2)
    shadow = next(one for one in told.exchanges if one.route == "shadow")
    assert (shadow.error, shadow.outputs["y"].tolist()) == (None, [2.0 + MISSING])
