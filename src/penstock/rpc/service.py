"""What each method of the service does: read the message, ask the data plane, write the answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

import penstock
from penstock.access.scopes import Scope
from penstock.base.errors import Invalid, NotFound, PenstockError, Unavailable
from penstock.rpc.callers import Doorkeeper
from penstock.rpc.errors import as_error, metadata_of, status_of
from penstock.rpc.messages import ModelInferRequest, ModelStreamInferResponse, message_class
from penstock.rpc.schema import METHODS, SERVICE, STREAM
from penstock.rpc.translating import read_request, write_response
from penstock.serving.codecs import InferResponse, classify
from penstock.serving.configuring import model_config, model_statistics
from penstock.serving.dataplane import DataPlane
from penstock.serving.recorder import Caller, caller

logger = logging.getLogger(__name__)
STREAM_AHEAD = 16
"""Requests of one stream that are worked on at the same time."""
INLINE_BYTES = 65536
"""Messages beyond this are read and written in a thread."""
T = TypeVar("T")


class Context(Protocol):
    """What is used of gRPC's context of a call."""

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline, None without one."""

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]] | None:
        """Return the metadata of the call."""

    def set_trailing_metadata(self, metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        """Set the metadata that end the answer."""

    async def write(self, message: object) -> None:
        """Send a message of a stream."""

    async def abort(self, code: object, details: str) -> None:
        """End the call with a status; raises."""


class Counts(Protocol):
    """Where requests are counted. Thread-safe."""

    def count_answer(self, response: InferResponse, duration_s: float) -> None:
        """Count a request that was answered."""

    def count_refusal(self, endpoint: str, outcome: str, error: PenstockError | None = None) -> None:
        """Count a request that was not answered: `invalid`, `error` or `abandoned`."""


class Service:
    """The methods. Unloading runs in a thread, and loading in one of the data plane's."""

    def __init__(self, dataplane: DataPlane, counts: Counts, doorkeeper: Doorkeeper) -> None:
        self._dataplane = dataplane
        self._counts = counts
        self._doorkeeper = doorkeeper
        self._taking: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self._refuses = False
        self.begun_count, self.asked_s = 0, float("-inf")
        """Calls that came of methods that answer once, and when the last did, on the monotonic clock."""
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="penstock-grpc")
        self._unloads = ThreadPoolExecutor(1, thread_name_prefix="penstock-grpc-unload")

    def handler(self) -> Any:
        """Return what gRPC's server asks for the methods."""
        handlers = {name: self._unary(name) for name in METHODS}
        handlers[STREAM] = grpc.stream_stream_rpc_method_handler(
            self._stream, None, ModelStreamInferResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    def end(self) -> None:
        """Take nothing more from streams; what was taken is answered, then they end."""
        self._is_ending = True
        for taking in self._taking:
            taking.cancel()

    def refuse(self) -> None:
        """Answer no call that comes from now on, but with the word that the server ends."""
        self._refuses = True

    def _unary(self, name: str) -> Any:
        request, response = message_class(f"{name}Request"), message_class(f"{name}Response")
        work = _METHODS[name]

        async def answer(data: bytes, context: Context) -> Any:
            self.begun_count += 1
            self.asked_s = time.monotonic()
            try:
                if self._refuses:
                    raise Unavailable(
                        "the server ends", code="serving.ending", hint="ask another one, or again"
                    )
                return await work(self, read_message(request, data), context, response)
            except Exception as problem:  # noqa: BLE001 - told to the caller by its cause, a defect also to the log
                error = as_error(problem, name)
                context.set_trailing_metadata(metadata_of(error))
                await context.abort(status_of(error), error.message[:2000])

        return grpc.unary_unary_rpc_method_handler(answer, None, response.SerializeToString)

    async def _server_live(self, _message: Any, _context: Context, made: Any) -> Any:
        return made(live=self._dataplane.is_live())

    async def _server_ready(self, _message: Any, _context: Context, made: Any) -> Any:
        return made(ready=self._dataplane.is_ready())

    async def _model_ready(self, message: Any, context: Context, made: Any) -> Any:
        await self._admit(context, "infer", message.name)
        try:
            version = version_of(message.version)
            await self._dataplane.reach(message.name, version)
            return made(ready=self._dataplane.is_model_ready(message.name, version))
        except NotFound:
            return made(ready=False)

    async def _server_metadata(self, _message: Any, _context: Context, made: Any) -> Any:
        return made(**self._dataplane.server_metadata(penstock.__version__))

    async def _model_metadata(self, message: Any, context: Context, made: Any) -> Any:
        await self._admit(context, "infer", message.name)
        version = version_of(message.version)
        await self._dataplane.reach(message.name, version)
        found = self._dataplane.model_metadata(message.name, version)
        for tensor in (*found["inputs"], *found["outputs"]):
            tensor.pop("parameters", None)
        return made(**found)

    async def _model_infer(self, message: Any, context: Context, made: Any) -> Any:
        await self._admit(context, "infer", message.model_name)
        return await self._infer(message, context)

    async def _model_config(self, message: Any, context: Context, made: Any) -> Any:
        await self._admit(context, "infer", message.name)
        version = version_of(message.version)
        await self._dataplane.reach(message.name, version)
        return made(config=model_config(self._dataplane, message.name, version))

    async def _model_statistics(self, message: Any, context: Context, made: Any) -> Any:
        await self._admit(context, "metrics", message.name or None)
        version, hidden = version_of(message.version), frozenset[str]()
        if not message.name:
            hidden = await self._hidden(context, self._dataplane.repository.served)
        found = model_statistics(self._dataplane, message.name or None, version, hidden)
        return made(model_stats=found)

    async def _repository_index(self, message: Any, context: Context, made: Any) -> Any:
        await self._admit(context, "infer", None)
        found = self._dataplane.repository_index()
        hidden = await self._hidden(context, {one["name"] for one in found})
        listed = [one for one in found if one["name"] not in hidden]
        return made(models=[one for one in listed if not message.ready or one["state"] == "READY"])

    async def _repository_model_load(self, message: Any, context: Context, made: Any) -> Any:
        await self._admit(context, "load", message.model_name)
        if message.parameters:
            raise Invalid(
                "models come from the registry; parameters of load are not supported",
                code="serving.unsupported",
                hint="penstock deploy says what an endpoint serves",
            )
        limit_s = self._dataplane.engine.limits_of(message.model_name).timeout_s
        await self._dataplane.loads.reach(message.model_name, limit_s)
        return made()

    async def _repository_model_unload(self, message: Any, context: Context, made: Any) -> Any:
        await self._admit(context, "load", message.model_name)
        await self._aside(partial(self._dataplane.unload, message.model_name), self._unloads)
        return made()

    async def _infer(self, message: Any, context: Context) -> Any:
        if self._dataplane.is_traced:
            caller.set(Caller(_header(context, "traceparent") or "", _header(context, "tracestate") or ""))
        received_s = time.perf_counter()
        endpoint = message.model_name
        try:
            read = partial(read_request, message, received_s)
            is_small = message.ByteSize() < INLINE_BYTES
            request, encoding = read() if is_small else await self._aside(read)
            left_s = context.time_remaining()
            deadline_s = None if left_s is None else received_s + left_s
            version = version_of(message.model_version)
            response = await self._dataplane.infer(
                endpoint, version, request, deadline_s=deadline_s, header=partial(_header, context)
            )
            write = partial(_write, response, encoding)
            answer = write() if is_small else await self._aside(write)
        except asyncio.CancelledError:
            self._counts.count_refusal(endpoint, "abandoned")
            raise
        except PenstockError as error:
            is_mistake = isinstance(error, Invalid | NotFound)
            self._counts.count_refusal(endpoint, "invalid" if is_mistake else "error", error)
            self._dataplane.note_refusal(endpoint, error)
            raise
        except Exception:
            self._counts.count_refusal(endpoint, "error")
            raise
        self._counts.count_answer(response, time.perf_counter() - received_s)
        return answer

    async def _stream(self, messages: AsyncIterator[Any], context: Context) -> None:
        """Answer each request of a stream in its turn; one that fails is told, and the stream goes on."""
        under_way: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(STREAM_AHEAD)

        async def take() -> None:
            try:
                async for message in messages:
                    await under_way.put(asyncio.ensure_future(self._streamed(message, context)))
            finally:
                await under_way.put(None)

        taking = asyncio.ensure_future(take())
        self._taking.add(taking)
        try:
            if self._is_ending:
                taking.cancel()
            while (task := await under_way.get()) is not None:
                await context.write(await task)
            if self._is_ending:
                await context.abort(
                    grpc.StatusCode.UNAVAILABLE, "the server ends: ask again, on another stream"
                )
            await taking
        except grpc.aio.InternalError as error:
            logger.debug("a stream's client left while it was answered: %s", error)
        finally:
            self._taking.discard(taking)
            taking.cancel()
            while not under_way.empty():
                left = under_way.get_nowait()
                if left is not None:
                    left.cancel()

    async def _streamed(self, data: bytes, context: Context) -> Any:
        identity = ""
        try:
            message = read_message(ModelInferRequest, data)
            identity = message.id
            await self._admit(context, "infer", message.model_name)
            return ModelStreamInferResponse(infer_response=await self._infer(message, context))
        except Exception as problem:  # noqa: BLE001 - as above
            told = ModelStreamInferResponse(error_message=as_error(problem, STREAM).message)
            told.infer_response.id = identity
            return told

    async def _admit(self, context: Context, scope: Scope, endpoint: str | None) -> None:
        if self._doorkeeper.is_open:
            return
        given = _header(context, "authorization") or ""
        if self._doorkeeper.knows(given, scope, endpoint):
            return
        await self._aside(partial(self._doorkeeper.admit, given, scope, endpoint))

    async def _hidden(self, context: Context, endpoints: Iterable[str]) -> frozenset[str]:
        if self._doorkeeper.is_open:
            return frozenset()
        given = _header(context, "authorization") or ""
        return await self._aside(partial(self._doorkeeper.hidden, given, endpoints))

    async def _aside(self, work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        """Do what would keep the loop from other requests in a thread."""
        return await asyncio.get_running_loop().run_in_executor(threads or self._threads, work)


_METHODS: dict[str, Callable[[Service, Any, Context, Any], Awaitable[Any]]] = {
    "ServerLive": Service._server_live,
    "ServerReady": Service._server_ready,
    "ModelReady": Service._model_ready,
    "ServerMetadata": Service._server_metadata,
    "ModelMetadata": Service._model_metadata,
    "ModelInfer": Service._model_infer,
    "ModelConfig": Service._model_config,
    "ModelStatistics": Service._model_statistics,
    "RepositoryIndex": Service._repository_index,
    "RepositoryModelLoad": Service._repository_model_load,
    "RepositoryModelUnload": Service._repository_model_unload,
}


def _write(response: InferResponse, encoding: Any) -> Any:
    return write_response(classify(response, encoding), encoding)


def _header(context: Context, name: str) -> str | None:
    """Return the metadata of a name, which is in lower case, without blanks and tabs around it, as HTTP has it."""
    for key, value in context.invocation_metadata() or ():
        if key == name and isinstance(value, str):
            return value.strip(" \t")
    return None


def read_message(kind: Any, data: bytes) -> Any:
    """Return the message that bytes are.

    Raises:
        Invalid: they are none.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise Invalid(f"the request is no message of the service: {error}", code="grpc.bad_message") from None


def version_of(text: str) -> int | None:
    """Return the number of a version, None for no version.

    Raises:
        NotFound: it is none.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise NotFound(f"there is no version {text[:64]!r}", code="serving.version_unknown")
    return int(text)
