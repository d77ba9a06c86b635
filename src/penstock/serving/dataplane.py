"""The data plane: what the Open Inference Protocol asks, without any transport.

REST and gRPC are thin translators in front of it. A request is validated against the signature of the
model its route leads to, predicted by the engine, told to the recorder and answered; shadow versions see it
afterwards, and no client waits for them. Whatever becomes of it, a request that reached a route is told.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.records.signature import Column
from penstock.serving.codecs import InferRequest, InferResponse, LabelItem
from penstock.serving.engine.engine import Engine
from penstock.serving.engine.job import Outputs
from penstock.serving.engine.options import EngineOptions
from penstock.serving.loaders.model import Array, Columns
from penstock.serving.prediction_id import PredictionId, Route, parse_prediction_id
from penstock.serving.recorder import Exchange, Label, LabelCounts, Labels, Recorder, RecorderState
from penstock.serving.repository import Lifecycle, LoadedModel, ModelRepository, ServedRevision
from penstock.serving.statistics import Statistics
from penstock.serving.tensors import Tensor, to_columns
from penstock.serving.traffic import choose_route

logger = logging.getLogger(__name__)
SERVER_NAME = "penstock"
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "statistics",
)
TIMEOUT = "timeout"
"""Request parameter: microseconds that the client waits, as in Triton's scheduling policy."""
ENGINE_CODES = frozenset({"serving.overloaded", "serving.deadline"})
"""Failures that are not the model's own."""
ABANDONED_S = 1.0
"""A caller that leaves after waiting this long counts as an error of its route; before, it just went."""
ROUTE_KEY = "penstock-route-key"
"""Request parameter: requests with the same value take the same route."""


class FeedbackResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a feedback request, what was wrong with the entries refused, and why the first misfits are."""

    accepted: int
    corrected: int
    unknown: int
    duplicate: int
    misfit: int
    rejected: list[dict[str, Any]]
    reasons: dict[str, str] = {}


class DataPlane:
    """The service. Thread-safe; predictions are made on one event loop, the one that asks first.

    Args:
        worker: this process's number, part of every prediction id.
        clock_ms: the wall clock.
        options: how the engine predicts.
    """

    def __init__(
        self,
        repository: ModelRepository,
        recorder: Recorder,
        labels: Labels,
        *,
        worker: int,
        clock_ms: Callable[[], int] = now_ms,
        options: EngineOptions | None = None,
    ) -> None:
        self.repository = repository
        self._recorder = recorder
        self._labels = labels
        self._worker = worker
        self._clock_ms = clock_ms
        self._counter = itertools.count(1)
        self.engine = Engine(options)
        self.statistics = Statistics()
        self.lifecycle: Lifecycle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def recorder_state(self) -> RecorderState:
        """How full the recorder is, and what it had no room for."""
        return self._recorder.state

    def close(self) -> None:
        """End the engine's threads; shadow predictions that still wait are left out."""
        self.engine.close()

    def is_live(self) -> bool:
        """Whether the server answers at all."""
        return True

    def is_ready(self) -> bool:
        """Whether every endpoint serves a model."""
        return not self.repository.pending

    def is_model_ready(self, endpoint: str, version: int | None = None) -> bool:
        """Whether an endpoint, or a version in it, serves.

        Raises:
            NotFound: no such endpoint or version.
        """
        if endpoint in self.repository.withheld or (version is None and endpoint in self.repository.pending):
            return False
        self.resolve(endpoint, version)
        return True

    def server_metadata(self, version: str) -> dict[str, Any]:
        """Describe the server; `version` is the program's."""
        return {"name": SERVER_NAME, "version": version, "extensions": list(EXTENSIONS)}

    def model_metadata(self, endpoint: str, version: int | None = None) -> dict[str, Any]:
        """Describe an endpoint by its stable model, or one version in it."""
        served, model = self.resolve(endpoint, version)
        return {
            "name": endpoint,
            "versions": [str(number) for number in served.revision.versions],
            "platform": f"penstock_{model.flavour}",
            "inputs": [_describe(column) for column in model.signature.inputs],
            "outputs": [_describe(column) for column in model.signature.outputs],
        }

    def repository_index(self) -> list[dict[str, str]]:
        """List every endpoint's versions and state."""
        index = [
            {"name": name, "version": str(version), "state": "READY", "reason": ""}
            for name, served in sorted(self.repository.served.items())
            for version in served.revision.versions
        ]
        waiting = [
            {"name": name, "state": "UNAVAILABLE", "reason": "not loaded"}
            for name in sorted(self.repository.pending)
        ]
        unloaded = [
            {"name": name, "state": "UNAVAILABLE", "reason": "unloaded"}
            for name in sorted(self.repository.withheld)
        ]
        return index + waiting + unloaded

    def load(self, endpoint: str) -> None:
        """Load what an endpoint serves by its current revision, also after it was unloaded. Blocks until it serves.

        Raises:
            NotFound: no such endpoint.
            PenstockError: its model cannot be had, does not load or fails its self-test.
        """
        if self.lifecycle is None:
            self.repository.allow(endpoint)
        else:
            self.lifecycle.load(endpoint)

    def unload(self, endpoint: str) -> None:
        """Let this process serve an endpoint no further until it is loaded again.

        Raises:
            NotFound: no such endpoint.
        """
        self.repository.withhold(endpoint)

    def resolve(self, endpoint: str, version: int | None) -> tuple[ServedRevision, LoadedModel]:
        """Return what an endpoint serves and the model a version number names, the stable one for None.

        Raises:
            NotFound: no such endpoint, or the version takes no part in its revision.
            Unavailable: the endpoint's model is not loaded yet.
        """
        served = self.repository.get(endpoint)
        if version is None:
            return served, served.stable
        model = served.models.get(version)
        if model is None:
            raise NotFound(
                f"endpoint {endpoint} does not serve version {version}",
                code="serving.version_unknown",
                hint=f"it serves {', '.join(map(str, served.revision.versions))}",
            )
        return served, model

    async def infer(
        self, endpoint: str, version: int | None, request: InferRequest, *, deadline_s: float | None = None
    ) -> InferResponse:
        """Answer one request. Cancelling it takes the request out of its queue.

        Args:
            deadline_s: when the caller gives up, on the performance clock; the request's parameter `timeout`
                and the endpoint's own limit hold besides.

        Raises:
            NotFound: no such endpoint or version.
            Invalid: the request does not fit the model, or asks for an unknown output.
            Unavailable: the endpoint's model is not loaded yet, too many requests wait (`serving.overloaded`),
                or the deadline has passed (`serving.deadline`).
            PenstockError: the model raised (`serving.model_failed`); no fault of the client.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop and self._loop.is_running():
            work = self._infer(endpoint, version, request, deadline_s)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
        return await self._infer(endpoint, version, request, deadline_s)

    async def _infer(
        self, endpoint: str, version: int | None, request: InferRequest, deadline_s: float | None
    ) -> InferResponse:
        served, model = self.resolve(endpoint, version)
        counter = next(self._counter)
        route: Route = "direct"
        if version is None:
            key = request.parameters.get(ROUTE_KEY)
            route = choose_route(served.revision, counter, None if key is None else str(key))
            model = served.model_for(route)
        names = _wanted(model, request)
        call = self._call(served, model, route, counter, request)
        limit_s = request.received_s + self._patience_s(endpoint, request)
        outputs = await call.run(limit_s if deadline_s is None else min(limit_s, deadline_s))
        if route != "direct" and served.revision.shadows:
            self._cast_shadows(call)
        return InferResponse(
            model_name=endpoint,
            model_version=str(model.version),
            id=request.id or call.id,
            parameters={
                "penstock-prediction-id": call.id,
                "penstock-revision": served.revision.number,
                "penstock-model-version": model.version,
                "penstock-route": route,
            },
            tensors=tuple(
                Tensor(column.name, column.datatype, outputs[column.name])
                for column in model.signature.outputs
                if names is None or column.name in names
            ),
        )

    def _patience_s(self, endpoint: str, request: InferRequest) -> float:
        """Return how long a request may take: the endpoint's limit, or less where the client says so."""
        limit_s = self.engine.limits_of(endpoint).timeout_s
        asked = request.parameters.get(TIMEOUT)
        if asked is None:
            return limit_s
        if isinstance(asked, bool) or not isinstance(asked, int) or asked < 0:
            raise Invalid(
                f"parameter timeout is not a number of microseconds: {str(asked)[:64]!r}",
                code="serving.bad_request",
            )
        return min(limit_s, asked / 1e6) if asked else limit_s

    def _cast_shadows(self, call: _Call) -> None:
        for version in call.served.revision.shadows:
            try:
                shadow = self._shadow(call, version)
            except PenstockError as error:
                logger.debug("shadow version %s: %s", version, error.message)
            else:
                self.engine.cast(
                    call.served.revision.endpoint,
                    shadow.model,
                    shadow.columns,
                    shadow.row_count,
                    shadow.settle,
                )

    def _shadow(self, call: _Call, version: int) -> _Call:
        model = call.served.models[version]
        known = {column.name: column.datatype for column in call.model.signature.inputs}
        tensors = [Tensor(name, known[name], values) for name, values in call.columns.items()]
        columns, row_count = _columns(call.served, model, tensors)
        return _Call(
            plane=self,
            served=call.served,
            model=model,
            route="shadow",
            counter=call.counter,
            columns=columns,
            row_count=row_count,
            started_s=time.perf_counter(),
            time_ms=call.time_ms,
            id=call.id,
        )

    def feedback(self, endpoint: str, items: list[LabelItem], sender: str | None = None) -> FeedbackResult:
        """Take labels for predictions of an endpoint; wrong entries are told, the others taken.

        Args:
            sender: who sent entries that name nobody.

        Raises:
            NotFound: no such endpoint.
            Invalid: there are entries and none of them can be read.
            Unavailable: the store cannot be reached.
        """
        served = self.repository.get(endpoint)
        good: list[Label] = []
        rejected: list[dict[str, Any]] = []
        for index, item in enumerate(items):
            try:
                identity = parse_prediction_id(item.prediction_id)
                _check_owner(identity, served, item)
                values = item.label if isinstance(item.label, list) else [item.label]
                _check_values(values)
            except Invalid as error:
                rejected.append({"index": index, "error": error.message})
            else:
                good.append(Label(identity, identity.encode(), values, item.by or sender))
        if rejected and not good:
            raise Invalid(
                f"no entry could be read; the first: {rejected[0]['error']}", code="serving.bad_feedback"
            )
        counts = self._labels.add_labels(endpoint, good) if good else LabelCounts()
        return FeedbackResult(
            accepted=counts.accepted,
            corrected=counts.corrected,
            unknown=counts.unknown,
            duplicate=counts.duplicate,
            misfit=counts.misfit,
            rejected=rejected,
            reasons=counts.reasons,
        )

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange and pass it on."""
        self.statistics.add(exchange)
        self._recorder.record(exchange)

    def _call(
        self, served: ServedRevision, model: LoadedModel, route: Route, counter: int, request: InferRequest
    ) -> _Call:
        columns, row_count = (
            to_columns(model.signature, request.tensors)
            if route == "direct"
            else _columns(served, model, request.tensors)
        )
        revision = model.version if route == "direct" else served.revision.number
        time_ms = self._clock_ms()
        identity = PredictionId(time_ms, served.revision.endpoint_id, revision, route, self._worker, counter)
        return _Call(
            plane=self,
            served=served,
            model=model,
            route=route,
            counter=counter,
            columns=columns,
            row_count=row_count,
            started_s=request.received_s,
            time_ms=time_ms,
            id=identity.encode(),
        )


@dataclass(slots=True, kw_only=True)
class _Call:
    """One prediction by one model, told to the recorder whether it succeeds or not."""

    plane: DataPlane
    served: ServedRevision
    model: LoadedModel
    route: Route
    counter: int
    columns: Columns
    row_count: int
    started_s: float
    time_ms: int
    id: str

    async def run(self, deadline_s: float) -> Outputs:
        """Predict.

        Raises:
            PenstockError: the model raised, too many wait for it, or the deadline passed. Its fields say which
                version and route it was.
        """
        try:
            outputs = await self.plane.engine.predict(
                self.served.revision.endpoint,
                self.model,
                self.columns,
                self.row_count,
                deadline_s=deadline_s,
                may_inline=self.route == "stable",
            )
        except asyncio.CancelledError:
            if time.perf_counter() - self.started_s >= ABANDONED_S:
                self._tell({}, "abandoned")
            raise
        except Exception as error:
            failure = self._failure(error)
            self._tell({}, failure.code.rpartition(".")[2])
            raise failure from error
        self._tell(outputs, None)
        return outputs

    def settle(self, predicted: asyncio.Future[Outputs]) -> None:
        """Tell of a prediction that no client waits for."""
        error = predicted.exception()
        self._tell({} if error else predicted.result(), "model_failed" if error else None)

    def _failure(self, error: Exception) -> PenstockError:
        if not isinstance(error, PenstockError) or error.code not in ENGINE_CODES:
            logger.warning("version %s of %s raised", self.model.version, self.model.name, exc_info=error)
            error = PenstockError(
                f"the model failed on this request: {type(error).__name__}: {str(error)[:500]}",
                code="serving.model_failed",
            )
        error.fields.update(version=self.model.version, route=self.route, prediction_id=self.id)
        return error

    def _tell(self, outputs: Outputs, error: str | None) -> None:
        revision = self.served.revision
        self.plane.observe(
            Exchange(
                endpoint=revision.endpoint,
                revision=0 if self.route == "direct" else revision.number,
                version=self.model.version,
                route=self.route,
                time_ms=self.time_ms,
                id=self.id,
                counter=self.counter,
                inputs=self.columns,
                outputs=outputs,
                row_count=self.row_count,
                latency_s=time.perf_counter() - self.started_s,
                error=error,
            )
        )


def _columns(
    served: ServedRevision, model: LoadedModel, tensors: Iterable[Tensor]
) -> tuple[dict[str, Array], int]:
    """Match tensors with the inputs of one of a revision's models.

    Clients cannot know which version answers, so what only another version takes is left out.
    """
    if len(served.models) == 1:
        return to_columns(model.signature, tensors)
    own = {column.name for column in model.signature.inputs}
    others = served.input_names - own
    return to_columns(model.signature, [tensor for tensor in tensors if tensor.name not in others])


def _describe(column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {"name": column.name, "datatype": column.datatype, "shape": [-1]}
    if not column.required:
        described["parameters"] = {"optional": True}
    return described


def _wanted(model: LoadedModel, request: InferRequest) -> set[str] | None:
    if request.outputs is None:
        return None
    known = [column.name for column in model.signature.outputs]
    for name in request.outputs:
        if name not in known:
            raise Invalid(
                f"the model has no output {name!r}",
                code="serving.unknown_output",
                hint=f"its outputs: {', '.join(known)}",
            )
    return set(request.outputs)


def _check_owner(identity: PredictionId, served: ServedRevision, item: LabelItem) -> None:
    if identity.endpoint_id != served.revision.endpoint_id:
        raise Invalid(
            f"prediction {item.prediction_id} was not made by endpoint {served.revision.endpoint}",
            code="serving.foreign_prediction",
        )


def _check_values(values: list[Any]) -> None:
    if not values or not all(value is None or isinstance(value, str | int | float) for value in values):
        raise Invalid(
            "a label is a number, text or boolean, or a list of them with one entry a row",
            code="serving.bad_label",
        )
