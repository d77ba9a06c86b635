"""A gRPC server that ends: what was begun is answered, streams and watchers on which nobody waits are let go."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from patience import PATIENCE_S
from penstock.base.store.database import Database
from penstock.base.threads import begin
from penstock.rpc.messages import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse
from serving.fixtures import database, source
from serving.models import FolderSource, deploy
from serving.rpc import address, make_process

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
