"""Small predictions of cheap models, answered without an application in between.

A request, its task, the wrappers and the messages between them cost a prediction of 10 us ten times that. What is
answered here is a subset: `POST /v2/models/NAME/infer` of one JSON body, to an endpoint whose model is cheap and
alone. Whatever is wrong with a request, or not known here, is left to the application, which says so as it always does; the
same functions read, ask and write. How requests come to this is in `protocol`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import lru_cache

from starlette.responses import Response

from penstock.base.errors import PenstockError
from penstock.http.errors import defect_response, error_response
from penstock.http.hosts import HostCheck
from penstock.http.inference.admitting import Admits
from penstock.http.inference.answering import INLINE_BYTES, INLINE_VALUES, Answering
from penstock.http.inference.first import END, START
from penstock.serving.codecs import Encoding, InferRequest, InferResponse
from penstock.serving.dataplane import DataPlane
from penstock.serving.plain import read_request

logger = logging.getLogger(__name__)
Headers = Mapping[bytes, bytes]
ODD = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"inference-header-content-length",
        b"origin",
        b"sec-fetch-site",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers of requests that are the application's to read."""


class Direct:
    """See the module. Every method is for the thread of the loop."""

    def __init__(
        self,
        dataplane: DataPlane,
        answering: Answering,
        hosts: HostCheck,
        admission: Admits | None,
        write: Callable[[InferResponse, Encoding], Response],
    ) -> None:
        self._dataplane = dataplane
        self._answering = answering
        self._hosts = hosts
        self._admission = admission
        self._write = write

    def endpoint_of(self, url: bytes, headers: Headers, server: tuple[str, int | None] | None) -> str | None:
        """Return the endpoint that a POST request asks, None where it is for the application to answer."""
        endpoint = _endpoint(url)
        if endpoint is None or not ODD.isdisjoint(headers):
            return None
        size = headers.get(b"content-length", b"")
        if not size or len(size) > 9 or int(size) >= INLINE_BYTES:
            return None
        if not self._dataplane.takes_soon(endpoint):
            return None
        host = headers.get(b"host", b"").decode("latin-1")
        return endpoint if self._hosts.is_ours(host, server) else None

    def begin(self, endpoint: str, headers: Headers, body: bytes, answer: Callable[[Response], None]) -> bool:
        """Answer a request, by a call of `answer` that comes soon.

        Returns: whether it will be answered; False, and nothing has happened, where the application has to do it.
        """
        received_s = time.perf_counter()
        served = self._dataplane.repository.served.get(endpoint)
        if served is None:
            return False
        is_admitted = is_taken = False
        given = headers.get(b"authorization", b"").decode("latin-1")
        try:
            request, form = read_request(body, None, served.stable.signature, received_s)
            is_admitted = self._admits(given, endpoint)
            if is_admitted:
                done = _Done(self, endpoint, request, form, answer)
                is_taken = self._dataplane.infer_soon(endpoint, request, done)
        except Exception:  # noqa: BLE001 - the application finds the same, and tells and counts it
            is_taken = False
        if is_taken:
            self._answering.begin()
        elif is_admitted and self._admission is not None:
            self._admission.give_back(given, "infer", endpoint)
        return is_taken

    def _admits(self, given: str, endpoint: str) -> bool:
        return self._admission is None or self._admission.recall(given, "infer", endpoint) is not None

    def settle(
        self,
        endpoint: str,
        request: InferRequest,
        form: Encoding,
        answer: Callable[[Response], None],
        found: InferResponse | Exception,
    ) -> None:
        """Write what became of a request."""
        if isinstance(found, Exception):
            answer(self._failed(endpoint, found))
        elif sum([tensor.values.size for tensor in found.tensors]) < INLINE_VALUES:
            answer(self._written(request, found, form))
        else:
            task = asyncio.ensure_future(self._answering.aside(lambda: self._write(found, form)))
            task.add_done_callback(lambda done: answer(self._waited(request, found, done)))

    def _written(self, request: InferRequest, found: InferResponse, form: Encoding) -> Response:
        try:
            response = self._write(found, form)
        except Exception as error:  # noqa: BLE001 - others of the same batch are told next
            return self._failed(found.model_name, error)
        self._answering.end(found, time.perf_counter() - request.received_s)
        return response

    def _waited(
        self, request: InferRequest, found: InferResponse, done: asyncio.Future[Response]
    ) -> Response:
        error = done.exception()
        if isinstance(error, Exception):
            return self._failed(found.model_name, error)
        self._answering.end(found, time.perf_counter() - request.received_s)
        return done.result()

    def _failed(self, endpoint: str, error: Exception) -> Response:
        self._answering.end_refused(endpoint, error)
        if isinstance(error, PenstockError):
            return error_response(error)
        logger.error("a request to %s failed", endpoint, exc_info=error)
        return defect_response()


class _Done:
    """Takes what the data plane answers to one request."""

    __slots__ = ("_answer", "_direct", "_endpoint", "_form", "_request")

    def __init__(
        self,
        direct: Direct,
        endpoint: str,
        request: InferRequest,
        form: Encoding,
        answer: Callable[[Response], None],
    ) -> None:
        self._direct, self._endpoint, self._request = direct, endpoint, request
        self._form, self._answer = form, answer

    def __call__(self, found: InferResponse | Exception) -> None:
        self._direct.settle(self._endpoint, self._request, self._form, self._answer, found)


@lru_cache(maxsize=1024)
def _endpoint(url: bytes) -> str | None:
    """Return the endpoint in a request's target, None where the application has to read it."""
    path = url.decode("latin-1")
    if not path.isascii() or not path.startswith(START) or not path.endswith(END):
        return None
    name = path[len(START) : -len(END)]
    return name if name and not set(name) & set("/%?#") else None
