"""The gRPC server beside the HTTP server: how it ends, what waits for what, how many connections it takes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from patience import PATIENCE_S
from penstock.base.store.database import Database
from penstock.base.threads import begin
from penstock.http import listen
from penstock.http.inference import app
from penstock.rpc.messages import (
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
    message_class,
)
from serving.fixtures import database, source
from serving.models import FolderSource, deploy, request_body
from serving.rpc import address, make_process
from stories.live import wait_until

__all__ = ["database", "source"]
pytestmark = pytest.mark.slow
SERVICE = "/inference.GRPCInferenceService"
States = health_pb2.HealthCheckResponse


def request(rows: int = 1) -> Any:
    message = ModelInferRequest(model_name="delay")
    for name, datatype, field, value in (
        ("hour", "INT64", "int64_contents", 5),
        ("distance", "FP64", "fp64_contents", 900.0),
        ("carrier", "BYTES", "bytes_contents", b"AA"),
    ):
        made = message.inputs.add(name=name, datatype=datatype, shape=[rows])
        getattr(made.contents, field).extend([value] * rows)
    return message


def test_what_was_begun_is_answered_and_who_only_holds_on_is_let_go(
    database: Database, source: FolderSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(database, "delay", 1)
    process = make_process(database, source)
    process.start()
    model = process.dataplane.repository.get("delay").stable
    begun, go = threading.Event(), threading.Event()
    predict = model.predictor.predict

    def held(*arguments: Any) -> Any:
        begun.set()
        go.wait(PATIENCE_S)
        return predict(*arguments)

    with ExitStack() as stack:
        channel = stack.enter_context(grpc.insecure_channel(address(process)))
        stream = channel.stream_stream(
            f"{SERVICE}/ModelStreamInfer",
            ModelInferRequest.SerializeToString,
            ModelStreamInferResponse.FromString,
        )
        may_end = threading.Event()
        stack.callback(may_end.set)

        def asked() -> Iterator[Any]:
            yield request()
            may_end.wait(PATIENCE_S)

        answers = stream(asked())
        assert not next(answers).error_message
        stub = health_pb2_grpc.HealthStub(channel)
        leaving, staying = (stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(2))
        assert next(leaving).status == next(staying).status == States.SERVING
        leaving.cancel()
        monkeypatch.setattr(model.predictor, "predict", held)
        monkeypatch.setattr(model, "is_bounded", False)
        unary = channel.unary_unary(
            f"{SERVICE}/ModelInfer", ModelInferRequest.SerializeToString, ModelInferResponse.FromString
        )
        waiting = unary.future(request(), timeout=PATIENCE_S)
        assert begun.wait(PATIENCE_S)
        ending = begin("ending", process.stop)
        assert [one.status for one in staying] == [States.NOT_SERVING]
        with pytest.raises(grpc.RpcError) as told:
            next(answers)
        assert (told.value.code(), "another stream" in told.value.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            True,
        )
        assert not ending.done()
        go.set()
        assert waiting.result().model_version == "1"
        ending.result(PATIENCE_S)


def test_health_is_known_for_what_there_is(database: Database, source: FolderSource) -> None:
    deploy(database, "delay", 1)
    process = make_process(database, source)
    process.start()
    try:
        with grpc.insecure_channel(address(process)) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            ask = health_pb2.HealthCheckRequest
            for name in ("", "inference.GRPCInferenceService"):
                assert stub.Check(ask(service=name), timeout=PATIENCE_S).status == States.SERVING
            with pytest.raises(grpc.RpcError) as told:
                stub.Check(ask(service="nope"), timeout=PATIENCE_S)
            assert told.value.code() == grpc.StatusCode.NOT_FOUND
            watching = stub.Watch(ask(service="nope"))
            assert next(watching).status == States.SERVICE_UNKNOWN
            watching.cancel()
    finally:
        process.stop()


class Held:
    """A lifecycle whose loads wait until they are let go."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), 0

    def load(self, endpoint: str) -> None:
        """Wait."""
        self.begun += 1
        self.go.wait(PATIENCE_S)

    def unload(self, endpoint: str) -> None:
        """Do nothing."""


def test_nothing_waits_for_models_that_are_loaded_on_demand(
    database: Database, source: FolderSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(database, "delay", 1)
    process = make_process(database, source)
    process.start()
    process.dataplane.lifecycle = held = Held()
    repository = f"{process.url}/v2/repository/models/delay"
    load = message_class("RepositoryModelLoadRequest")(model_name="delay")
    with ExitStack() as stack:
        stack.callback(process.stop)
        channel = stack.enter_context(grpc.insecure_channel(address(process)))
        client = stack.enter_context(httpx.Client(timeout=PATIENCE_S))
        stack.callback(held.go.set)
        loads = [
            channel.unary_unary(f"{SERVICE}/RepositoryModelLoad").future(load.SerializeToString())
            for _ in range(3)
        ]
        asked = [
            begin("load", lambda: httpx.post(f"{repository}/load", timeout=PATIENCE_S)) for _ in range(2)
        ]
        wait_until(lambda: held.begun == 1)
        unary = channel.unary_unary(
            f"{SERVICE}/ModelInfer", ModelInferRequest.SerializeToString, ModelInferResponse.FromString
        )
        assert unary(request(10_000), timeout=PATIENCE_S).model_version == "1"
        made = client.post(f"{process.url}/v2/models/delay/infer", json=request_body()).json()["id"]
        labels = [{"prediction_id": made, "label": 1}]
        url = f"{process.url}/v2/models/delay/feedback"
        assert client.post(url, json=labels).json()["accepted"] == 1
        assert client.post(f"{repository}/unload").status_code == 200
        assert not any(one.done() for one in (*loads, *asked))
        monkeypatch.setattr(app, "LABELS_WAIT_S", 0.0)
        late = client.post(url, json=labels)
        assert (late.status_code, late.json()["code"]) == (503, "serving.labels_wait")
        assert late.headers["retry-after"]
        held.go.set()
        assert {one.result().status_code for one in asked} == {200}


def test_connections_beyond_its_share_are_refused_and_the_http_server_goes_on(
    database: Database, source: FolderSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listen, "MOST", 3)
    deploy(database, "delay", 1)
    process = make_process(database, source)
    process.start()
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    host, port = address(process).split(":")
    with ExitStack() as stack:
        stack.callback(process.stop)
        connections = [
            stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_S)) for _ in range(6)
        ]
        for one in connections:
            with suppress(OSError):
                one.sendall(hello)
        assert sum(is_refused(one) for one in connections) == 3
        assert httpx.get(f"{process.url}/v2/health/ready").status_code == 200


def is_refused(connection: socket.socket) -> bool:
    """Whether a connection ended without a word of HTTP/2."""
    try:
        return connection.recv(9) == b""
    except ConnectionResetError:
        return True
