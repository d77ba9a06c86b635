"""A gRPC server that ends while many ask: what it has begun is answered, and nobody is left in doubt."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from patience import PATIENCE_S
from penstock.base.store.database import Database
from penstock.base.threads import begin
from penstock.rpc.errors import CODE_KEY
from penstock.rpc.messages import ModelInferRequest, ModelInferResponse
from penstock.rpc.server import RpcOptions
from rpc.test_server import SERVICE, request
from servers.ports import reserve
from serving.fixtures import database, source
from serving.models import FolderSource, deploy
from serving.rpc import address, make_process
from stories.live import wait_until

__all__ = ["database", "source"]
pytestmark = pytest.mark.slow
TIMES, CLIENTS, CALLS = 4, 12, 60


def infer_on(channel: grpc.Channel) -> Any:
    return channel.unary_unary(
        f"{SERVICE}/ModelInfer", ModelInferRequest.SerializeToString, ModelInferResponse.FromString
    )


def own_channel(stack: ExitStack, place: str) -> grpc.Channel:
    """Return a channel with a connection of its own."""
    return stack.enter_context(grpc.insecure_channel(place, [("grpc.use_local_subchannel_pool", 1)]))


def test_every_call_that_was_begun_when_the_server_is_to_end_is_answered(
    database: Database, source: FolderSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(database, "delay", 1)
    for _ in range(TIMES):
        process = make_process(database, source)
        process.start()
        model = process.dataplane.repository.get("delay").stable
        go = threading.Event()
        predict = model.predictor.predict

        def held(*arguments: Any, go: threading.Event = go, predict: Any = predict) -> Any:
            go.wait(PATIENCE_S)
            return predict(*arguments)

        with monkeypatch.context() as broken, ExitStack() as stack:
            stack.callback(go.set)
            broken.setattr(model.predictor, "predict", held)
            broken.setattr(model, "is_bounded", False)
            channels = [own_channel(stack, address(process)) for _ in range(3)]
            calls = [infer_on(channels[at % 3]).future(request(), timeout=PATIENCE_S) for at in range(CALLS)]
            assert process.companion is not None
            service = process.companion._service  # type: ignore[attr-defined]
            wait_until(lambda: service.begun_count == CALLS)  # noqa: B023
            ending = begin("ending", process.stop)
            go.set()
            assert Counter(one.exception(PATIENCE_S) for one in calls) == {None: CALLS}
            ending.result(PATIENCE_S)


def test_whoever_asks_on_is_answered_or_told_that_the_server_ends(
    database: Database, source: FolderSource
) -> None:
    deploy(database, "delay", 1)
    for _ in range(TIMES):
        port = reserve()  # where nobody else answers when the server has ended
        process = make_process(database, source, RpcOptions(port=port))
        process.start()
        answered: Counter[int] = Counter()
        has_ended = threading.Event()

        def ask(
            client: int,
            channel: grpc.Channel,
            answered: Counter[int] = answered,
            has_ended: threading.Event = has_ended,
        ) -> grpc.RpcError:
            infer, message = infer_on(channel), request()
            while True:
                is_late = has_ended.is_set()
                try:
                    infer(message, timeout=PATIENCE_S)
                except grpc.RpcError as error:
                    return error
                assert not is_late, "a server that has ended answers"
                answered[client] += 1

        with ExitStack() as stack:
            asking: list[Future[grpc.RpcError]] = [
                begin("client", lambda at=at: ask(at, own_channel(stack, address(process))))  # type: ignore[misc]  # noqa: B023
                for at in range(CLIENTS)
            ]
            wait_until(lambda: len(answered) == CLIENTS)  # noqa: B023
            process.stop()
            has_ended.set()
            told = [one.result(PATIENCE_S) for one in asking]
        assert {one.code() for one in told} == {grpc.StatusCode.UNAVAILABLE}, told
        codes = {dict(one.trailing_metadata() or ()).get(CODE_KEY) for one in told}
        assert codes <= {"serving.ending", None}, "None: there was nobody any more"
