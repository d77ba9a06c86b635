"""Endpoints whose models are functions written in a test, behind the real HTTP server."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx

from patience import PATIENCE_S
from penstock.base.threads import begin
from penstock.http.inference.admitting import Admits
from penstock.http.inference.app import build_inference_app
from penstock.http.listen import bind, make_server, serve_on, url_of
from penstock.records.signature import Column, Signature
from penstock.serving.dataplane import DataPlane
from penstock.serving.deployments import Canary, Revision
from penstock.serving.engine.options import EndpointLimits, EngineOptions
from penstock.serving.loaders import ModelFiles
from penstock.serving.loaders.model import Array, Columns
from penstock.serving.recorder import Exchange, Label, LabelCounts, RecorderState
from penstock.serving.repository import ModelRepository
from stories.live import wait_until

Function = Callable[[Array], Array]
SIGNATURE = Signature(inputs=(Column("x", "FP64"),), outputs=(Column("y", "FP64"),))


class Held:
    """A model that doubles, and that waits in `predict` while it is held."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.begun = 0
        self.threads: set[str] = set()

    def __call__(self, x: Array) -> Array:
        self.begun += 1
        self.threads.add(threading.current_thread().name)
        self.go.wait(PATIENCE_S)
        return 2 * x


class _Predictor:
    signature = SIGNATURE

    def __init__(self, function: Function, *, is_bounded: bool) -> None:
        self._function = function
        self.is_bounded = is_bounded

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        return {"y": self._function(columns["x"])}


class Stage:
    """A data plane and its server. `seen` is what the recorder was told."""

    def __init__(
        self,
        options: EngineOptions | None = None,
        admission: Admits | None = None,
        **limits: EndpointLimits,
    ) -> None:
        self._functions: dict[tuple[str, int], tuple[Function, bool]] = {}
        self._numbers: dict[str, int] = {}
        self.seen: list[Exchange] = []
        self.repository = ModelRepository(self._fetch, self._load)
        self.plane = DataPlane(self.repository, self, self, worker=1, options=options)
        self.plane.engine.limits = limits
        self._socket = bind("127.0.0.1", 0)
        self.url = url_of(self._socket, "127.0.0.1")
        answering = build_inference_app(self.plane, admission=admission)
        self._server = make_server(answering, drain_s=1, protocol=answering.state.protocol)
        self._running = begin("stage", lambda: serve_on(self._socket, self._server))
        wait_until(lambda: self._server.started)

    def close(self) -> None:
        """End the server."""
        self._server.should_exit = True
        self._running.result()
        self.plane.close()
        self._socket.close()

    def record(self, exchange: Exchange) -> None:
        self.seen.append(exchange)

    @property
    def state(self) -> RecorderState:
        return RecorderState(used_bytes=0, max_bytes=0, dropped={})

    def add_labels(self, endpoint: str, labels: Sequence[Label]) -> LabelCounts:
        return LabelCounts(unknown=len(labels))

    def _fetch(self, model: str, version: int) -> ModelFiles:
        return ModelFiles(
            path=Path(),
            name=model,
            version=version,
            digest=str(id(self._functions[model, version])),
            flavour="function",
            options={},
            signature=SIGNATURE,
            example={"x": [1.0, 2.0]},
        )

    def _load(self, files: ModelFiles) -> _Predictor:
        function, is_bounded = self._functions[files.name, files.version]
        return _Predictor(function, is_bounded=is_bounded)

    def serve(self, endpoint: str, *functions: Function, is_bounded: bool = False, **values: Any) -> None:
        """Serve functions as versions 1, 2, … of an endpoint's model, the first as the stable one."""
        for number, function in enumerate(functions, 1):
            self._functions[endpoint, number] = (function, is_bounded)
        number = self._numbers[endpoint] = self._numbers.get(endpoint, 0) + 1
        canary = values.get("canary")
        revision = Revision(
            endpoint=endpoint,
            endpoint_id=1,
            number=number,
            model=endpoint,
            stable=1,
            canary=Canary(2, canary) if canary else None,
            shadows=values.get("shadows", ()),
            steps=(),
            created_ms=0,
            actor="a",
            reason="r",
            previous=None,
            cause={},
        )
        self.repository.expect(frozenset(self._numbers))
        self.repository.apply(revision, values.get("rules", ()))

    def ask(self, endpoint: str, *rows: float, **parameters: Any) -> httpx.Response:
        """Send one request."""
        return httpx.post(
            f"{self.url}/v2/models/{endpoint}/infer", json=body(*rows, **parameters), timeout=PATIENCE_S
        )

    def ask_soon(self, endpoint: str, *rows: float, **parameters: Any) -> Future[httpx.Response]:
        """Send one request in a thread."""
        return begin("client", lambda: self.ask(endpoint, *rows, **parameters))

    def ask_and_leave(self, endpoint: str, count: int) -> Callable[[], None]:
        """Send requests on connections of their own; return what closes them all unanswered."""
        content = json.dumps(body(1.0)).encode()
        head = f"POST /v2/models/{endpoint}/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n\r\n"
        address = ("127.0.0.1", int(self.url.rpartition(":")[2]))
        connections = [socket.create_connection(address) for _ in range(count)]
        for one in connections:
            one.sendall(head.encode() + content)
        return lambda: [one.close() for one in connections] and None

    def waiting(self, endpoint: str) -> int:
        """Return how many requests wait in the endpoint's queues."""
        return self.plane.engine.waiting().get(endpoint, 0)

    def errors(self, endpoint: str) -> list[tuple[str, str]]:
        """Return the route and the kind of every failure that was told."""
        return [(one.route, one.error) for one in list(self.seen) if one.endpoint == endpoint and one.error]


def body(*rows: float, **parameters: Any) -> dict[str, Any]:
    """Return a request with one input."""
    values = list(rows) or [1.0]
    tensor = {"name": "x", "shape": [len(values)], "datatype": "FP64", "data": values}
    return {"inputs": [tensor], "parameters": parameters}


def answers(response: httpx.Response) -> list[float]:
    """Return the outputs of an answer."""
    assert response.status_code == 200, response.text
    found: list[float] = response.json()["outputs"][0]["data"]
    return found


def settled(futures: list[Future[httpx.Response]]) -> list[httpx.Response]:
    """Wait for all answers."""
    deadline_s = time.monotonic() + 60
    return [one.result(max(0.0, deadline_s - time.monotonic())) for one in futures]
