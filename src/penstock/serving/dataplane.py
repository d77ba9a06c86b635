"""The data plane: what the Open Inference Protocol asks, without any transport.

REST and gRPC are thin translators in front of it. A request is validated against the signature of the
model its route leads to, predicted, told to the recorder and answered; shadow versions see it afterwards,
in a thread of their own that no client waits for.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.records.signature import Column
from penstock.serving.codecs import InferRequest, InferResponse, LabelItem
from penstock.serving.loaders.model import Array, Columns
from penstock.serving.prediction_id import PredictionId, Route, parse_prediction_id
from penstock.serving.recorder import Exchange, Label, LabelCounts, Labels, Recorder, RecorderState
from penstock.serving.repository import LoadedModel, ModelRepository, ServedRevision
from penstock.serving.tensors import Tensor, to_columns
from penstock.serving.traffic import choose_route

logger = logging.getLogger(__name__)
SERVER_NAME = "penstock"
EXTENSIONS = ("binary_tensor_data", "model_repository(index)")
SHADOW_BACKLOG_MAX = 256
"""Shadow predictions waiting; further ones are left out rather than slow down clients."""
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
    """The service. Thread-safe.

    Args:
        worker: this process's number, part of every prediction id.
        clock_ms: the wall clock.
    """

    def __init__(
        self,
        repository: ModelRepository,
        recorder: Recorder,
        labels: Labels,
        *,
        worker: int,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self.repository = repository
        self._recorder = recorder
        self._labels = labels
        self._worker = worker
        self._clock_ms = clock_ms
        self._counter = itertools.count(1)
        self._shadows = ThreadPoolExecutor(1, thread_name_prefix="penstock-shadow")
        self._shadow_slots = threading.BoundedSemaphore(SHADOW_BACKLOG_MAX)

    @property
    def recorder_state(self) -> RecorderState:
        """How full the recorder is, and what it had no room for."""
        return self._recorder.state

    def close(self) -> None:
        """Finish the shadow predictions that wait."""
        self._shadows.shutdown(wait=True)

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
        if version is None and endpoint in self.repository.pending:
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
        return index + waiting

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

    def infer(self, endpoint: str, version: int | None, request: InferRequest) -> InferResponse:
        """Answer one request.

        Raises:
            NotFound: no such endpoint or version.
            Invalid: the request does not fit the model, or asks for an unknown output.
            Unavailable: the endpoint's model is not loaded yet.
            PenstockError: the model raised (`serving.model_failed`); no fault of the client.
        """
        served, model = self.resolve(endpoint, version)
        counter = next(self._counter)
        route: Route = "direct"
        if version is None:
            key = request.parameters.get(ROUTE_KEY)
            route = choose_route(served.revision, counter, None if key is None else str(key))
            model = served.model_for(route)
        names = _wanted(model, request)
        call = self._call(served, model, route, counter, request)
        outputs = call.run()
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

    def _cast_shadows(self, call: _Call) -> None:
        for version in call.served.revision.shadows:
            if self._shadow_slots.acquire(blocking=False):
                self._shadows.submit(self._cast_shadow, call, version)

    def _cast_shadow(self, call: _Call, version: int) -> None:
        try:
            model = call.served.models[version]
            known = {column.name: column.datatype for column in call.model.signature.inputs}
            tensors = [Tensor(name, known[name], values) for name, values in call.columns.items()]
            columns, row_count = _columns(call.served, model, tensors)
            shadow = _Call(
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
            shadow.run()
        except PenstockError as error:
            logger.debug("shadow version %s: %s", version, error.message)
        finally:
            self._shadow_slots.release()

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
        """Pass an exchange on."""
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

    def run(self) -> dict[str, Array]:
        """Predict.

        Raises:
            PenstockError: the model raised.
        """
        try:
            outputs = self.model.predict(self.columns, self.row_count)
        except Exception as error:
            self._tell({}, "model")
            logger.warning("version %s of %s raised", self.model.version, self.model.name, exc_info=error)
            raise PenstockError(
                f"the model failed on this request: {type(error).__name__}: {str(error)[:500]}",
                code="serving.model_failed",
                prediction_id=self.id,
            ) from error
        self._tell(outputs, None)
        return outputs

    def _tell(self, outputs: Columns, error: str | None) -> None:
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
                classes=self.model.classes,
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
