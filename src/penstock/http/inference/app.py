"""The Open Inference Protocol over HTTP: a thin translator in front of the data plane.

Source:
    kserve/open-inference-protocol, open_inference_rest.yaml; Triton, extension_binary_data.md and
    extension_model_repository.md, extension_model_configuration.md and
    extension_statistics.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import penstock
from penstock.base.errors import Invalid, NotFound, PenstockError, Unavailable
from penstock.http.bodies import MEBIBYTE, read_body
from penstock.http.errors import EXCEPTION_HANDLERS, error_response, json_response, without_folders
from penstock.http.headers import find_header
from penstock.http.hosts import HostCheck
from penstock.http.inference.admitting import Admit, Admits, hidden_from, sender_of
from penstock.http.inference.answering import JSON, OCTETS, Answering, Prepared, identity_headers
from penstock.http.inference.describing import describe_endpoints
from penstock.http.inference.direct import Direct
from penstock.http.inference.first import Fronted, InferFirst
from penstock.http.inference.protocol import InferProtocol
from penstock.http.inference.scoring import Scoring
from penstock.http.prometheus.traffic import CONTENT_TYPE, InferenceMetrics
from penstock.records.signature import Signature
from penstock.serving.codecs import (
    Encoding,
    InferRequest,
    InferResponse,
    classify,
    encode_response,
)
from penstock.serving.configuring import config_document, model_statistics
from penstock.serving.dataplane import DataPlane
from penstock.serving.plain import read_request
from penstock.serving.predictions.feedback import BadItem, FeedbackResult, LabelItem, decode_feedback
from penstock.serving.repository import ServedRevision

JSON_SIZE_NAME = b"inference-header-content-length"
LABELS_WAIT_S = 30.0
"""So long labels wait for their turn: as long as the store may keep those before them."""


class InferenceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the HTTP side; those of predictions are the engine's.

    `allowed_hosts` are names it may be called by beside the loopback and the address reached. `default` is the
    endpoint that `/invocations` asks. `metrics_folder` is where several processes add up what they
    count, None for one process alone.
    """

    max_body_bytes: int = 64 * MEBIBYTE
    default: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    metrics_folder: str | None = None


def build_inference_app(
    dataplane: DataPlane, options: InferenceOptions | None = None, admission: Admits | None = None
) -> Starlette:
    """Return the ASGI application of one data plane; without `admission` nobody is asked for credentials.

    Its `state.metrics` counts what is answered; its `state.protocol`, for `make_server`, answers small requests directly.
    """
    chosen = options or InferenceOptions()
    return _Inference(dataplane, chosen).application(admission)


class _Inference:
    def __init__(self, dataplane: DataPlane, options: InferenceOptions) -> None:
        self._dataplane = dataplane
        self._options = options
        self._metrics = InferenceMetrics(dataplane, penstock.__version__, options.metrics_folder)
        self._answering = Answering(dataplane, self._metrics, options.max_body_bytes)
        self._scoring = Scoring(dataplane, self._answering, options.default)
        self._is_asking = False
        self._store = ThreadPoolExecutor(1, thread_name_prefix="penstock-feedback")
        self._unloads = ThreadPoolExecutor(1, thread_name_prefix="penstock-unload")

    def application(self, admission: Admits | None) -> Starlette:
        """Return the application with all routes."""
        self._is_asking = admission is not None
        get, post = ["GET"], ["POST"]
        model = "/v2/models/{model}"
        routes = [
            Route("/v2/models/stats", self.statistics, methods=get),
            Route(f"{model}/infer", self.infer, methods=post),  # see InferFirst
            Route(f"{model}/versions/{{version}}/infer", self.infer, methods=post),
            Route(f"{model}/feedback", self.feedback, methods=post),
            Route(model, self.model_metadata, methods=get),
            Route(f"{model}/versions/{{version}}", self.model_metadata, methods=get),
            Route(f"{model}/ready", self.model_ready, methods=get),
            Route(f"{model}/versions/{{version}}/ready", self.model_ready, methods=get),
            Route("/openapi.json", self.describe, methods=get),
            Route(f"{model}/openapi.json", self.describe, methods=get),
            Route(f"{model}/config", self.config, methods=get),
            Route(f"{model}/versions/{{version}}/config", self.config, methods=get),
            Route(f"{model}/stats", self.statistics, methods=get),
            Route(f"{model}/versions/{{version}}/stats", self.statistics, methods=get),
            Route("/v2/repository/index", self.index, methods=post),
            Route("/v2/repository/models/{model}/load", self.load, methods=post),
            Route("/v2/repository/models/{model}/unload", self.unload, methods=post),
            Route("/v2/health/live", self.live, methods=get),
            Route("/v2/health/ready", self.ready, methods=get),
            Route("/v2", self.server_metadata, methods=get),
            Route("/v2/", self.server_metadata, methods=get),
            Route("/metrics", self.metrics, methods=get),
            *self._scoring.routes(),
        ]
        hosts = self._options.allowed_hosts
        outer = [Middleware(HostCheck, allowed=hosts)]
        if admission is not None:
            outer.append(Middleware(Admit, admission=admission, default_endpoint=self._scoring.find_endpoint))
        outer.append(Middleware(InferFirst, infer=self.infer))
        application = Fronted(outer, routes=routes, exception_handlers=EXCEPTION_HANDLERS)
        application.state.metrics = self._metrics
        checking = HostCheck(application, hosts)
        direct = Direct(self._dataplane, self._answering, checking, admission, _write)
        application.state.protocol = partial(InferProtocol, direct)
        return application

    async def infer(self, request: Request) -> Response:
        """Answer an inference request."""
        endpoint = request.path_params["model"]
        try:
            version, json_size = _version(request), _json_size(request)
        except PenstockError as error:
            self._answering.refuse(endpoint, error)
            return error_response(error)
        read = partial(_read, json_size)
        return await self._answering.answer(request, endpoint, version, read, _write, error_response)

    async def feedback(self, request: Request) -> Response:
        """Take labels; answered when they are durable."""
        endpoint = request.path_params["model"]
        items = decode_feedback(await self._read(request))
        sender = sender_of(request.scope)
        take = partial(self._take_labels, endpoint, items, sender, time.monotonic())
        result = await asyncio.get_running_loop().run_in_executor(self._store, take)
        self._metrics.count_labels(endpoint, result)
        return json_response(result)

    def _take_labels(
        self, endpoint: str, items: Sequence[LabelItem | BadItem], sender: str | None, received_s: float
    ) -> FeedbackResult:
        """Take labels in their turn; those that waited too long behind others are told so, in place of as long again."""
        if time.monotonic() - received_s > LABELS_WAIT_S:
            raise Unavailable(
                f"labels have waited for the store for more than {LABELS_WAIT_S:g} s; nothing was taken",
                code="serving.labels_wait",
                hint="send them again later",
                retry_after_s=5,
            )
        return self._dataplane.feedback(endpoint, items, sender)

    async def live(self, _request: Request) -> Response:
        """Say that the process answers."""
        return json_response({"live": self._dataplane.is_live()})

    async def ready(self, _request: Request) -> Response:
        """Say whether every endpoint serves, and which of them the store does not know, unless that is not for everybody."""
        is_ready = self._dataplane.is_ready()
        told: dict[str, Any] = {"live": True, "ready": is_ready}
        if self._dataplane.unknown and not self._is_asking:
            told["unknown_to_store"] = dict(self._dataplane.unknown)
        return json_response(told, 200 if is_ready else 503)

    async def server_metadata(self, _request: Request) -> Response:
        """Describe the server."""
        return json_response(self._dataplane.server_metadata(penstock.__version__))

    async def model_metadata(self, request: Request) -> Response:
        """Describe an endpoint or a version in it."""
        endpoint, version = request.path_params["model"], _version(request)
        await self._dataplane.reach(endpoint, version)
        return json_response(self._dataplane.model_metadata(endpoint, version))

    async def model_ready(self, request: Request) -> Response:
        """Say whether an endpoint or a version in it serves."""
        name, version = request.path_params["model"], _version(request)
        await self._dataplane.reach(name, version)
        is_ready = self._dataplane.is_model_ready(name, version)
        return json_response({"name": name, "ready": is_ready}, 200 if is_ready else 503)

    async def config(self, request: Request) -> Response:
        """Describe an endpoint's model as the configuration extension does."""
        endpoint, version = request.path_params["model"], _version(request)
        await self._dataplane.reach(endpoint, version)
        return json_response(config_document(self._dataplane, endpoint, version))

    async def describe(self, request: Request) -> Response:
        """Give the OpenAPI document of an endpoint, or of all that serve."""
        name = request.path_params.get("model")
        served = self._dataplane.repository.served
        names = sorted(served.keys() - await hidden_from(request.scope, served)) if name is None else [name]
        return json_response(describe_endpoints(self._dataplane, names))

    async def statistics(self, request: Request) -> Response:
        """Tell what versions have answered."""
        name, version = request.path_params.get("model"), _version(request)
        hidden = frozenset[str]()
        if name is None:
            hidden = await hidden_from(request.scope, self._dataplane.repository.served)
        return json_response({"model_stats": model_statistics(self._dataplane, name, version, hidden)})

    async def index(self, request: Request) -> Response:
        """List what is served; `{"ready": true}` leaves out what does not serve."""
        asked = _object(await self._read(request))
        found = self._dataplane.repository_index()
        hidden = await hidden_from(request.scope, {one["name"] for one in found})
        wants_ready = asked.get("ready") is True
        listed = [one for one in found if one["name"] not in hidden]
        return json_response([one for one in listed if not wants_ready or one["state"] == "READY"])

    async def load(self, request: Request) -> Response:
        """Let an endpoint be served by its current revision; answered when it is."""
        if _object(await self._read(request)).get("parameters"):
            raise Invalid(
                "models come from the registry; parameters of load are not supported",
                code="serving.unsupported",
                hint="penstock deploy says what an endpoint serves",
            )
        endpoint = request.path_params["model"]
        limit_s = self._dataplane.engine.limits_of(endpoint).timeout_s
        await self._change(self._dataplane.loads.reach(endpoint, limit_s))
        return json_response({})

    async def unload(self, request: Request) -> Response:
        """Let this process serve an endpoint no further."""
        _object(await self._read(request))
        work = partial(self._dataplane.unload, request.path_params["model"])
        await self._change(asyncio.get_running_loop().run_in_executor(self._unloads, work))
        return json_response({})

    async def _change(self, work: Awaitable[None]) -> None:
        try:
            await work
        except PenstockError as error:
            error.message = without_folders(error.message)
            raise

    async def metrics(self, request: Request) -> Response:
        """Give the metrics to Prometheus, without those of endpoints that it may not see."""
        found = self._metrics.collect()
        hidden = await hidden_from(request.scope, found.endpoints())
        return Response(found.render(hidden), headers={"content-type": CONTENT_TYPE})

    async def _read(self, request: Request) -> bytes:
        return await read_body(request, self._options.max_body_bytes)


def _read(
    json_size: int | None, body: bytes, _served: ServedRevision, signature: Signature, received_s: float
) -> tuple[InferRequest, Encoding]:
    return read_request(body, json_size, signature, received_s)


def _write(response: InferResponse, encoding: Encoding) -> Response:
    content, size = encode_response(classify(response, encoding), encoding)
    headers = identity_headers(response)
    if size is not None:
        headers.append((JSON_SIZE_NAME, b"%d" % size))
    return Prepared(content, JSON if size is None else OCTETS, headers)


def _object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body that may be empty.

    Raises:
        Invalid: it holds something else.
    """
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the body is no JSON object: {error}", code="http.bad_json") from None


def _json_size(request: Request) -> int | None:
    text = find_header(request.scope, JSON_SIZE_NAME)
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
