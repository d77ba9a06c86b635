"""How a prediction is asked for over HTTP, whatever form its bodies have: read, predict, write, count."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.http.bodies import BodyRoom, read_body
from penstock.http.headers import find_header
from penstock.http.inference.departure import Caller, Callers
from penstock.http.prometheus.traffic import InferenceMetrics
from penstock.records.signature import Signature
from penstock.serving.codecs import InferRequest, InferResponse
from penstock.serving.dataplane import DataPlane
from penstock.serving.repository import ServedRevision

HEADERS = tuple(
    (name, name.encode())
    for name in ("penstock-prediction-id", "penstock-revision", "penstock-model-version", "penstock-route")
)
JSON, OCTETS = b"application/json", b"application/octet-stream"
INLINE_BYTES = 65536
INLINE_VALUES = 8192
"""Bodies beyond these are read and written in a thread."""
T = TypeVar("T")
Form = TypeVar("Form")
Read = Callable[[bytes, ServedRevision, Signature, float], tuple[InferRequest, Form]]
"""Body, what is served, signature that was asked for and time of arrival to a request, and the form its answer takes."""
Write = Callable[[InferResponse, Form], Response]


class Answering:
    """Answers predictions; `max_body_bytes` is the largest body."""

    def __init__(self, dataplane: DataPlane, metrics: InferenceMetrics, max_body_bytes: int) -> None:
        self._dataplane = dataplane
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._callers = Callers()
        self._room = BodyRoom()
        self._codecs = ThreadPoolExecutor(2, thread_name_prefix="penstock-codec")

    async def answer(
        self,
        request: Request,
        endpoint: str,
        version: int | None,
        read: Read[Form],
        write: Write[Form],
        tell: Callable[[PenstockError], Response],
    ) -> Response:
        """Answer one request; an error is told by `tell`, and counted."""
        caller: Caller | None = None
        held_bytes = 0
        self._metrics.in_flight.inc()
        try:
            body = await read_body(request, self._max_body_bytes, self._room)
            held_bytes = len(body)
            received_s = time.perf_counter()  # how slowly a client sends is no fault of a version
            caller = self._callers.await_answer(request.receive)
            return await self._predict(request, endpoint, version, body, received_s, read, write)
        except ClientDisconnect:
            return Response(status_code=400)
        except asyncio.CancelledError:
            if caller is None or not caller.has_left:
                raise
            self._metrics.count_refusal(endpoint, "abandoned")
            return Response(status_code=400)
        except PenstockError as error:
            self.refuse(endpoint, error)
            return tell(error)
        except Exception:
            self._metrics.count_refusal(endpoint, "error")
            raise
        finally:
            self._metrics.in_flight.dec()
            self._room.give_back(held_bytes)
            if caller is not None:
                self._callers.forget(caller)

    def begin(self) -> None:
        """Note that a request is being answered, by another than `answer`."""
        self._metrics.in_flight.inc()

    def end(self, response: InferResponse, duration_s: float) -> None:
        """Count a request that was begun with `begin` and is answered."""
        self._metrics.in_flight.dec()
        self._metrics.count_answer(response, duration_s)

    def end_refused(self, endpoint: str, error: Exception) -> None:
        """Count a request that was begun with `begin` and was refused, or met a defect."""
        self._metrics.in_flight.dec()
        if isinstance(error, PenstockError):
            self.refuse(endpoint, error)
        else:
            self._metrics.count_refusal(endpoint, "error")

    def refuse(self, endpoint: str, error: PenstockError) -> None:
        """Count a request that was refused."""
        is_mistake = isinstance(error, Invalid | NotFound)
        self._metrics.count_refusal(endpoint, "invalid" if is_mistake else "error", error)
        self._dataplane.note_refusal(endpoint, error)

    async def _predict(
        self,
        asked: Request,
        endpoint: str,
        version: int | None,
        body: bytes,
        received_s: float,
        read: Read[Form],
        write: Write[Form],
    ) -> Response:
        if version is not None:
            await self._dataplane.reach(endpoint, version)
        served, model = self._dataplane.resolve(endpoint, version)
        decode = partial(read, body, served, model.signature, received_s)
        is_small = len(body) < INLINE_BYTES
        request, form = decode() if is_small else await self.aside(decode)

        def header(name: str) -> str | None:
            return find_header(asked.scope, name.lower().encode("latin-1", "replace"))

        response = await self._dataplane.infer(endpoint, version, request, header=header)
        is_small = is_small and sum(tensor.values.size for tensor in response.tensors) < INLINE_VALUES
        encode = partial(write, response, form)
        answer = encode() if is_small else await self.aside(encode)
        self._metrics.count_answer(response, time.perf_counter() - received_s)
        return answer

    async def aside(self, work: Callable[[], T]) -> T:
        """Do what would keep the loop from other requests in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._codecs, work)


class Prepared(Response):
    """A response whose headers are bytes already: half the cost of one that encodes them."""

    def __init__(self, body: bytes, media_type: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.status_code = 200
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), *headers]


def identity_headers(response: InferResponse) -> list[tuple[bytes, bytes]]:
    """Return the headers that name a prediction."""
    parameters = response.parameters
    return [(key, str(parameters[name]).encode()) for name, key in HEADERS]
