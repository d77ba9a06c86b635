"""A model as the gates' checks ask it: by its library alone, or by requests of the protocol through the serving engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from penstock.base.errors import Unavailable
from penstock.flows.models.evidence.answers import answer_rows
from penstock.flows.models.evidence.server import serve_apart
from penstock.flows.models.tables import table_inputs
from penstock.records.signature import Signature
from penstock.registry.gates.check import ServedApart
from penstock.serving.codecs import InferResponse, decode_request, encode_response
from penstock.serving.dataplane import DataPlane
from penstock.serving.deployments import Revision
from penstock.serving.loaders import ModelFiles
from penstock.serving.loaders.model import numpy_dtype
from penstock.serving.recorder import Exchange, Label, LabelCounts, RecorderState
from penstock.serving.repository import ModelRepository

ENDPOINT = "gate"


class _Forgets:
    """A recorder that keeps nothing: what a gate asks is no live traffic."""

    state = RecorderState(used_bytes=0, max_bytes=0, dropped={})

    def record(self, exchange: Exchange) -> None:
        """Take one exchange."""

    def add_labels(self, endpoint: str, labels: Sequence[Label]) -> LabelCounts:
        """Take labels."""
        return LabelCounts(unknown=len(labels))


class ModelSubject:
    """A model's files, asked. Not thread-safe; `close` ends the engine, if it was asked."""

    def __init__(self, files: ModelFiles, name: str, label: str | None) -> None:
        self._files, self._name, self._label = files, name, label

    @property
    def name(self) -> str:
        """What sentences call it."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """How large its files are together."""
        return sum(path.stat().st_size for path in self._files.path.rglob("*") if path.is_file())

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self._files.path

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it takes, empty for a single matrix."""
        return tuple(one.name for one in self._files.signature.inputs if not one.is_tensor)

    def predict(self, frame: pl.DataFrame) -> Mapping[str, NDArray[Any]]:
        """Return its outputs by the library alone."""
        return answer_rows(self._files, frame, self._label).outputs

    def serve(self, frame: pl.DataFrame) -> Mapping[str, NDArray[Any]]:
        """Return its outputs on rows sent as one request of the protocol, read back from the bytes of the answer."""
        return _outputs(self._ask(self._body(self._columns(frame))))

    def replay(self, inputs: pl.DataFrame) -> tuple[Mapping[str, NDArray[Any]], float]:
        """Return its outputs on a recorded request, and the seconds it took from bytes to bytes.

        Raises:
            PenstockError: the request is none that it takes.
        """
        body = self._body(self._recorded(inputs))
        started = time.perf_counter()
        answer = self._ask(body)
        return _outputs(answer), time.perf_counter() - started

    def serve_apart(self, frame: pl.DataFrame, ready_s: float) -> ServedApart:
        """Return what a server process of its own does with each row as a request.

        Raises:
            Unavailable: it is not ready in `ready_s`, or ended.
        """
        bodies = [self._body(self._columns(frame.slice(index, 1))) for index in range(frame.height)]
        return serve_apart(self._files.path, bodies, ready_s)

    def latencies_ms(self, frame: pl.DataFrame, warmup: int) -> NDArray[np.float64]:
        """Return how long each row took alone, from bytes to bytes; the first `warmup` are left out."""
        bodies = [self._body(self._columns(frame.slice(index, 1))) for index in range(frame.height)]
        took = []
        for body in bodies:
            started = time.perf_counter()
            self._ask(body)
            took.append(1000 * (time.perf_counter() - started))
        return np.array(took[warmup:], dtype=np.float64)

    def close(self) -> None:
        """End the engine."""
        if "_plane" in self.__dict__:
            self._plane.close()
            self._loop.close()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()

    @cached_property
    def _plane(self) -> DataPlane:
        repository = ModelRepository(lambda _model, _version: self._files)
        nobody = _Forgets()
        plane = DataPlane(repository, nobody, nobody, worker=1)
        repository.expect(frozenset({ENDPOINT}))
        repository.apply(
            Revision(
                endpoint=ENDPOINT,
                endpoint_id=1,
                number=1,
                model=self._files.name,
                stable=self._files.version,
                canary=None,
                shadows=(),
                steps=(),
                created_ms=0,
                actor="gate",
                reason="a gate asks",
                previous=None,
                cause={},
            )
        )
        return plane

    def _ask(self, body: bytes) -> bytes:
        request, encoding = decode_request(body, None, self._files.signature, time.perf_counter())
        answer: InferResponse = self._loop.run_until_complete(self._plane.infer(ENDPOINT, None, request))
        return encode_response(answer, encoding)[0]

    def _columns(self, frame: pl.DataFrame) -> Mapping[str, NDArray[Any]]:
        return table_inputs(self._signature(), frame, self._label)

    def _recorded(self, inputs: pl.DataFrame) -> Mapping[str, NDArray[Any]]:
        """Return what was sent, under the names of inputs; tensors as they were."""
        signature = self._signature()
        tensors = [one for one in signature.inputs if one.is_tensor and one.name in inputs.columns]
        if not tensors:
            return table_inputs(signature, inputs)
        return {
            one.name: np.array(inputs[one.name].to_list(), dtype=numpy_dtype(one.datatype)) for one in tensors
        }

    def _signature(self) -> Signature:
        signature = self._files.signature
        if not signature.inputs:
            raise Unavailable(
                "the model does not say what it takes",
                code="gate.no_signature",
                hint="save it with an example",
            )
        return signature

    def _body(self, columns: Mapping[str, NDArray[Any]]) -> bytes:
        types = {one.name: one.datatype for one in self._files.signature.inputs}
        inputs = [
            {"name": name, "shape": values.shape, "datatype": types[name], "data": _plain(values)}
            for name, values in columns.items()
        ]
        return msgspec.json.encode({"inputs": inputs})


def _outputs(body: bytes) -> dict[str, NDArray[Any]]:
    """Return the outputs of an answer's bytes."""
    return {
        one["name"]: np.array([np.nan if value is None else value for value in one["data"]]).reshape(
            one["shape"]
        )
        for one in msgspec.json.decode(body)["outputs"]
    }


def _plain(values: NDArray[Any]) -> list[Any]:
    """Return an array flat, as JSON has it: what is missing is null."""
    return [None if value is None or value != value else value for value in values.ravel().tolist()]  # noqa: PLR0124
