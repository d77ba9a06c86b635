"""The data plane: what the Open Inference Protocol asks, without any transport.

REST and gRPC are thin translators in front of it. A request is validated against the signature of the
model its route leads to, predicted by the engine, told to the recorder and answered; shadow versions see it
afterwards, and no client waits for them. Whatever becomes of it, a request that reached a route is told.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.records.signature import Column
from penstock.serving.asking import Asked, choose, left_out, patience_s, route_of, wanted
from penstock.serving.beside.guests import Guests
from penstock.serving.beside.loads import Loads
from penstock.serving.beside.shadows import Shadows
from penstock.serving.call import Call, is_unknown_category, match_columns
from penstock.serving.codecs import InferRequest, InferResponse
from penstock.serving.engine.engine import Engine
from penstock.serving.engine.job import Outputs
from penstock.serving.engine.options import EngineOptions
from penstock.serving.loaders.model import Columns
from penstock.serving.parameters import with_params
from penstock.serving.predictions.feedback import BadItem, FeedbackResult, LabelItem, take_feedback
from penstock.serving.predictions.ids import PredictionId, Route
from penstock.serving.recorder import Labels, Recorder, RecorderState
from penstock.serving.repository import Lifecycle, LoadedModel, ModelRepository, ServedRevision
from penstock.serving.statistics import Statistics
from penstock.serving.traffic import FindHeader, no_header

SERVER_NAME = "penstock"
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "statistics",
)


class DataPlane:
    """The service. Thread-safe; predictions are made on one event loop, the one that asks first.

    Args:
        worker: this process's number, part of every prediction id.
        clock_ms: the wall clock.
        options: how the engine predicts.
        shared_folder: where the processes on one port add up what they count.
        allow: says whether a version that no revision serves may be asked for by number; without it none may.
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
        shared_folder: str | None = None,
        allow: Callable[[str, int], None] | None = None,
    ) -> None:
        self.repository = repository
        self.guests = Guests(repository.load_version, allow)
        self.loads = Loads(self.load, repository)
        self._recorder = recorder
        self._labels = labels
        self._worker = worker
        self._clock_ms = clock_ms
        self._counter = itertools.count(1)
        self.engine = Engine(options)
        self.shadows = Shadows(self.engine)
        self.statistics = Statistics(recorder, shared_folder, worker)
        self.lifecycle: Lifecycle | None = None
        self.refuse: Callable[[str, str], None] | None = None
        self.is_traced = False
        self.unknown: Mapping[str, str] = {}
        """Why the store does not know what is served, by endpoint; it is served further."""
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def recorder_state(self) -> RecorderState:
        """How full the recorder is, and what it had no room for."""
        return self._recorder.state

    def note_refusal(self, endpoint: str, error: PenstockError) -> None:
        """Note that a request was refused, where that was a mistake of who asked an endpoint that is served.

        One with a category that the version does not know is counted with the version's errors.
        """
        if self.refuse is None or endpoint not in self.repository.served or is_unknown_category(error):
            return
        if isinstance(error, Invalid | NotFound):
            self.refuse(endpoint, error.code)

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
            "versions": [str(number) for number in self.versions_of(served)],
            "platform": f"penstock_{model.flavour.removeprefix('penstock_')}",
            "inputs": [_describe(column) for column in model.signature.inputs],
            "outputs": [_describe(column) for column in model.signature.outputs],
        }

    def repository_index(self) -> list[dict[str, str]]:
        """List every endpoint's versions and state."""
        index = [
            {"name": name, "version": str(version), "state": "READY", "reason": ""}
            for name, served in sorted(self.repository.served.items())
            for version in self.versions_of(served)
        ]
        absent = [(name, "not loaded") for name in sorted(self.repository.pending)]
        absent += [(name, "unloaded") for name in sorted(self.repository.withheld)]
        return index + [{"name": name, "state": "UNAVAILABLE", "reason": why} for name, why in absent]

    def load(self, endpoint: str) -> None:
        """Load what an endpoint serves by its current revision, also after it was unloaded. Blocks until it serves, see `loads`.

        Raises:
            NotFound: no such endpoint.
            PenstockError: its model cannot be had, does not load or fails its self-test.
        """
        if self.lifecycle is None:
            self.repository.allow(endpoint)
        else:
            self.lifecycle.load(endpoint)

    def unload(self, endpoint: str) -> None:
        """Serve an endpoint no further on this port until it is loaded again.

        Raises:
            NotFound: no such endpoint.
        """
        if self.lifecycle is None:
            self.repository.withhold(endpoint)
        else:
            self.lifecycle.unload(endpoint)

    def versions_of(self, served: ServedRevision) -> list[int]:
        """Return the versions that are in memory, by number: of the revision, of rules, and those asked for by number."""
        return sorted({*served.models, *self.guests.versions(served)})

    async def reach(self, endpoint: str, version: int | None, wait_s: float | None = None) -> None:
        """Load a version that was asked for by number, where the endpoint's policy lets others be than it serves.

        Args:
            wait_s: how long the caller waits; as long as a prediction may take by default.

        Raises:
            PenstockError: as for `Guests.reach`.
        """
        if version is None:
            return
        served = self.repository.get(endpoint)
        if version in served.left_out:
            raise left_out(served, version)
        if version not in served.models:
            limit_s = self.engine.limits_of(endpoint).timeout_s
            await self.guests.reach(served, version, limit_s if wait_s is None else min(wait_s, limit_s))

    def resolve(self, endpoint: str, version: int | None) -> tuple[ServedRevision, LoadedModel]:
        """Return what an endpoint serves and the model a version number names, the stable one for None.

        Raises:
            NotFound: no such endpoint, or the version takes no part in its revision and was not reached.
            Unavailable: the endpoint's model is not loaded yet, or the version is left out (`serving.version_left_out`).
        """
        served = self.repository.get(endpoint)
        if version is None:
            return served, served.stable
        model = served.models.get(version) or self.guests.find(served, version)
        if model is None and version in served.left_out:
            raise left_out(served, version)
        if model is None:
            raise NotFound(
                f"endpoint {endpoint} does not serve version {version}",
                code="serving.version_unknown",
                hint=f"it serves {', '.join(map(str, self.versions_of(served)))}; with `traffic.other_versions` in "
                "penstock.yaml others can be asked for by number",
            )
        return served, model

    async def infer(
        self,
        endpoint: str,
        version: int | None,
        request: InferRequest,
        *,
        deadline_s: float | None = None,
        header: FindHeader = no_header,
    ) -> InferResponse:
        """Answer one request. Cancelling it takes the request out of its queue.

        Args:
            deadline_s: when the caller gives up, on the performance clock; the request's parameter `timeout`
                and the endpoint's own limit hold besides.
            header: finds what the transport knows of the request besides, for rules and the route's key.

        Raises:
            NotFound: no such endpoint or version.
            Refused: the version may not be asked for.
            Invalid: the request does not fit the model, or asks for an unknown output.
            Unavailable: the endpoint's model is not loaded yet, too many requests wait (`serving.overloaded`),
                or the deadline has passed (`serving.deadline`).
            PenstockError: the model raised (`serving.model_failed`); no fault of the client.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop and self._loop.is_running():
            work = self._infer(endpoint, version, request, deadline_s, header)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
        return await self._infer(endpoint, version, request, deadline_s, header)

    async def _infer(
        self,
        endpoint: str,
        version: int | None,
        request: InferRequest,
        deadline_s: float | None,
        header: FindHeader,
    ) -> InferResponse:
        if version is not None:
            await self.reach(
                endpoint, version, None if deadline_s is None else deadline_s - time.perf_counter()
            )
        asked = self._ask(endpoint, version, request, deadline_s, header)
        outputs = await asked.call.run(asked.limit_s, asked.asked_s)
        return self._answer(asked, outputs)

    def infer_soon(
        self,
        endpoint: str,
        request: InferRequest,
        done: Callable[[InferResponse | Exception], None],
        header: FindHeader = no_header,
    ) -> bool:
        """Answer one request in this turn of the loop, where its model is cheap and alone; `done` takes the answer.

        Returns: whether it will be; False, and nothing has happened, where `infer` has to be awaited.

        Raises:
            PenstockError: as `infer`.
        """
        served = self.repository.get(endpoint)
        if served.revision.canary is not None or served.rules or self._loop is not asyncio.get_running_loop():
            return False
        asked = self._ask(endpoint, None, request, None, header)

        def settle(found: Outputs | PenstockError) -> None:
            done(found if isinstance(found, PenstockError) else self._try_answer(asked, found))

        return asked.call.run_soon(asked.limit_s, asked.asked_s, settle)

    def takes_soon(self, endpoint: str) -> bool:
        """Whether `infer_soon` would take a request of one row for an endpoint now."""
        served = self.repository.served.get(endpoint)
        if served is None or served.revision.canary is not None or served.rules:
            return False
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        return self._loop is loop and self.engine.is_quick(endpoint, served.stable)

    def _ask(
        self,
        endpoint: str,
        version: int | None,
        request: InferRequest,
        deadline_s: float | None,
        header: FindHeader,
    ) -> Asked:
        """Return what a request asks for; raises as `infer`."""
        served, model = self.resolve(endpoint, version)
        counter = next(self._counter)
        foreign: frozenset[str] = frozenset()
        if version is None:
            route, model = choose(served, counter, request, header)
            foreign = served.foreign_inputs(model)  # who names no version cannot know which one answers
        else:
            route = route_of(served, version)
        names = wanted(model, request)
        columns, rows = match_columns(model, request.tensors_for(model.version), foreign)
        if request.params:
            columns = with_params(model, columns, request.params, served if version is None else None)
        timeout_s = self.engine.limits_of(endpoint).timeout_s
        asked_s = request.received_s + patience_s(request, timeout_s)
        return Asked(
            call=self._call(served, model, route, counter, (columns, rows), request),
            names=names,
            limit_s=request.received_s + timeout_s,
            asked_s=asked_s if deadline_s is None else min(asked_s, deadline_s),
            id=request.id,
        )

    def _try_answer(self, asked: Asked, outputs: Outputs) -> InferResponse | Exception:
        try:
            return self._answer(asked, outputs)
        except Exception as error:  # noqa: BLE001 - others of the same batch are told next
            return error

    def _answer(self, asked: Asked, outputs: Outputs) -> InferResponse:
        call = asked.call
        if call.served.revision.shadows and call.route != "direct":
            self.shadows.cast(call, outputs)
        return asked.answer(outputs)

    def feedback(
        self, endpoint: str, items: Sequence[LabelItem | BadItem], sender: str | None = None
    ) -> FeedbackResult:
        """Take labels for predictions of an endpoint, whether its model is loaded or not; wrong entries are told, the others taken.

        Args:
            sender: who sent entries that name nobody.

        Raises:
            NotFound: no such endpoint.
            Invalid: there are entries and none of them can be read.
            Unavailable: the store cannot be reached.
        """
        return take_feedback(self.repository.revision_of(endpoint), items, self._labels, sender)

    def _call(
        self,
        served: ServedRevision,
        model: LoadedModel,
        route: Route,
        counter: int,
        matched: tuple[Columns, int],
        request: InferRequest,
    ) -> Call:
        revision = model.version if route == "direct" else served.revision.number
        time_ms = self._clock_ms()
        identity = PredictionId(time_ms, served.revision.endpoint_id, revision, route, self._worker, counter)
        return Call(
            engine=self.engine,
            recorder=self.statistics,
            served=served,
            model=model,
            route=route,
            counter=counter,
            columns=matched[0],
            row_count=matched[1],
            started_s=request.received_s,
            time_ms=time_ms,
            id=identity.encode(),
            asked=request if served.revision.shadows else None,
        )


def _describe(column: Column) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": column.name,
        "datatype": column.datatype,
        "shape": list(column.shape),
    }
    if not column.required:
        described["parameters"] = {"missing" if column.is_tensor else "optional": True}
    return described
