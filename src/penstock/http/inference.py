"""The Open Inference Protocol over HTTP: a thin translator in front of the data plane.

Source:
    kserve/open-inference-protocol, open_inference_rest.yaml; Triton, extension_binary_data.md and
    extension_model_repository.md (index).
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

import penstock
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.http.departure import Caller
from penstock.http.errors import EXCEPTION_HANDLERS, error_response, json_response
from penstock.http.metrics import CONTENT_TYPE, InferenceMetrics
from penstock.serving.codecs import decode_feedback, decode_request, encode_response
from penstock.serving.dataplane import DataPlane

JSON_SIZE_HEADER = "inference-header-content-length"
HEADERS = ("penstock-prediction-id", "penstock-revision", "penstock-model-version", "penstock-route")
MEBIBYTE = 1 << 20
INLINE_BYTES = 65536
INLINE_VALUES = 8192
"""Bodies beyond these are read and written in a thread."""
T = TypeVar("T")


class InferenceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the HTTP side; those of predictions are the engine's.

    `metrics_folder` is where several processes add up what they count, None for one process alone.
    """

    max_body_bytes: int = 64 * MEBIBYTE
    metrics_folder: str | None = None


def build_inference_app(dataplane: DataPlane, options: InferenceOptions | None = None) -> Starlette:
    """Return the ASGI application of one data plane."""
    return _Inference(dataplane, options or InferenceOptions()).application()


class _Inference:
    def __init__(self, dataplane: DataPlane, options: InferenceOptions) -> None:
        self._dataplane = dataplane
        self._options = options
        self._metrics = InferenceMetrics(dataplane, penstock.__version__, options.metrics_folder)
        self._codecs = ThreadPoolExecutor(2, thread_name_prefix="penstock-codec")
        self._store = ThreadPoolExecutor(1, thread_name_prefix="penstock-feedback")

    def application(self) -> Starlette:
        """Return the application with all routes."""
        get, post = ["GET"], ["POST"]
        model = "/v2/models/{model}"
        routes = [
            Route(f"{model}/infer", self.infer, methods=post),
            Route(f"{model}/versions/{{version}}/infer", self.infer, methods=post),
            Route(f"{model}/feedback", self.feedback, methods=post),
            Route(model, self.model_metadata, methods=get),
            Route(f"{model}/versions/{{version}}", self.model_metadata, methods=get),
            Route(f"{model}/ready", self.model_ready, methods=get),
            Route(f"{model}/versions/{{version}}/ready", self.model_ready, methods=get),
            Route("/v2/repository/index", self.index, methods=post),
            Route("/v2/health/live", self.live, methods=get),
            Route("/v2/health/ready", self.ready, methods=get),
            Route("/v2", self.server_metadata, methods=get),
            Route("/v2/", self.server_metadata, methods=get),
            Route("/health", self.live, methods=get),
            Route("/metrics", self.metrics, methods=get),
        ]
        return Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)

    async def infer(self, request: Request) -> Response:
        """Answer an inference request."""
        received_s = time.perf_counter()
        endpoint = request.path_params["model"]
        caller: Caller | None = None
        self._metrics.in_flight.inc()
        try:
            version = _version(request)
            body = await self._read(request)
            caller = Caller(request.receive)
            return await self._predict(endpoint, version, body, request, received_s)
        except ClientDisconnect:
            return Response(status_code=400)
        except asyncio.CancelledError:
            if caller is None or not caller.has_left:
                raise
            self._metrics.count_refusal(endpoint, "abandoned")
            return Response(status_code=400)
        except PenstockError as error:
            is_mistake = isinstance(error, Invalid | NotFound)
            self._metrics.count_refusal(endpoint, "invalid" if is_mistake else "error", error)
            return error_response(error)
        except Exception:
            self._metrics.count_refusal(endpoint, "error")
            raise
        finally:
            self._metrics.in_flight.dec()
            if caller is not None:
                caller.forget()

    async def _predict(
        self, endpoint: str, version: int | None, body: bytes, asked: Request, received_s: float
    ) -> Response:
        _, model = self._dataplane.resolve(endpoint, version)
        read = partial(decode_request, body, _json_size(asked), model.signature, received_s)
        is_small = len(body) < INLINE_BYTES
        request, encoding = read() if is_small else await self._aside(read)
        response = await self._dataplane.infer(endpoint, version, request, header=asked.headers.get)
        write = partial(encode_response, response, encoding)
        is_small = is_small and sum(tensor.values.size for tensor in response.tensors) < INLINE_VALUES
        content, size = write() if is_small else await self._aside(write)
        headers = {name: str(response.parameters[name]) for name in HEADERS}
        if size is not None:
            headers[JSON_SIZE_HEADER] = str(size)
        self._metrics.count_answer(response, time.perf_counter() - received_s)
        return Response(
            content,
            headers=headers,
            media_type="application/json" if size is None else "application/octet-stream",
        )

    async def _aside(self, work: Callable[[], T]) -> T:
        """Do what would keep the loop from other requests in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._codecs, work)

    async def feedback(self, request: Request) -> Response:
        """Take labels; answered when they are durable."""
        endpoint = request.path_params["model"]
        items = decode_feedback(await self._read(request))
        sender = request.client.host if request.client else None
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._store, self._dataplane.feedback, endpoint, items, sender)
        self._metrics.count_labels(endpoint, result)
        return json_response(result)

    async def live(self, _request: Request) -> Response:
        """Say that the process answers."""
        return json_response({"live": self._dataplane.is_live()})

    async def ready(self, _request: Request) -> Response:
        """Say whether every endpoint serves."""
        is_ready = self._dataplane.is_ready()
        return json_response({"live": True, "ready": is_ready}, 200 if is_ready else 503)

    async def server_metadata(self, _request: Request) -> Response:
        """Describe the server."""
        return json_response(self._dataplane.server_metadata(penstock.__version__))

    async def model_metadata(self, request: Request) -> Response:
        """Describe an endpoint or a version in it."""
        return json_response(self._dataplane.model_metadata(request.path_params["model"], _version(request)))

    async def model_ready(self, request: Request) -> Response:
        """Say whether an endpoint or a version in it serves."""
        name = request.path_params["model"]
        is_ready = self._dataplane.is_model_ready(name, _version(request))
        return json_response({"name": name, "ready": is_ready}, 200 if is_ready else 503)

    async def index(self, _request: Request) -> Response:
        """List what is served."""
        return json_response(self._dataplane.repository_index())

    async def metrics(self, _request: Request) -> Response:
        """Give the metrics to Prometheus."""
        return Response(self._metrics.render(), headers={"content-type": CONTENT_TYPE})

    async def _read(self, request: Request) -> bytes:
        """Return the body, decompressed.

        Raises:
            Invalid: it is larger than the limit, or not what its Content-Encoding says.
        """
        limit = self._options.max_body_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        encoding = request.headers.get("content-encoding", "identity")
        return body if encoding == "identity" else _decompress(body, encoding, limit)


_WINDOW_BITS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}


def _decompress(body: bytes, encoding: str, limit: int) -> bytes:
    for bits in _WINDOW_BITS.get(encoding.strip().lower(), ()):
        decompressor = zlib.decompressobj(bits)
        try:
            data = decompressor.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(data) > limit:
            raise _too_large(limit)
        if decompressor.eof:
            return data
    known = encoding.strip().lower() in _WINDOW_BITS
    raise Invalid(
        f"the body is not {encoding}" if known else f"Content-Encoding {encoding!r} is not supported",
        code="http.bad_encoding",
        hint="use gzip, deflate or no compression",
    )


def _too_large(limit: int) -> Invalid:
    return Invalid(
        f"the body is larger than {limit // MEBIBYTE} MiB",
        code="http.body_too_large",
        hint="send the rows in several requests",
    )


def _json_size(request: Request) -> int | None:
    text = request.headers.get(JSON_SIZE_HEADER)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:
        raise Invalid(
            f"Inference-Header-Content-Length is not a number: {text[:64]!r}", code="serving.bad_header"
        )
    return int(text)


def _version(request: Request) -> int | None:
    text = request.path_params.get("version")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise NotFound(f"there is no version {text[:64]!r}", code="serving.version_unknown")
    return int(text)
