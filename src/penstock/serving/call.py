"""One prediction by one model on one route, told to the recorder whatever becomes of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeGuard

import numpy as np

from penstock.base.errors import Invalid, PenstockError, described
from penstock.serving.codecs import InferRequest
from penstock.serving.engine.engine import Engine
from penstock.serving.engine.job import Outputs
from penstock.serving.loaders.feeding import UNKNOWN_CATEGORY
from penstock.serving.loaders.model import Array, Columns
from penstock.serving.matching import to_columns
from penstock.serving.parameters import with_params
from penstock.serving.predictions.ids import Route
from penstock.serving.recorder import Exchange, Recorder
from penstock.serving.repository import LoadedModel, ServedRevision
from penstock.serving.tensors import Tensor

logger = logging.getLogger(__name__)
ENGINE_CODES = frozenset({"serving.overloaded", "serving.deadline"})
"""Failures that are not the model's own."""
DIFFERENCE = " differs by"
"""Ends the name of a shadow's difference among the outputs of its windows."""
ABANDONED_S = 1.0
"""A caller that leaves, or gives up as it said it would, after waiting this long counts as an error of its route;
before, it just went."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One prediction by one model, told to the recorder whether it succeeds or not."""

    engine: Engine
    recorder: Recorder
    served: ServedRevision
    model: LoadedModel
    route: Route
    counter: int
    columns: Columns
    row_count: int
    started_s: float
    time_ms: int
    id: str
    asked: InferRequest | None = None
    """What the client sent, where shadows are to see it."""
    answered: Outputs | None = None
    """What the client got, for a shadow."""

    async def run(self, limit_s: float, asked_s: float) -> Outputs:
        """Predict.

        Args:
            limit_s: when the endpoint's own limit is reached, on the performance clock.
            asked_s: when the caller gives up by its own choice. What it waits for less than `ABANDONED_S` says
                nothing of the version.

        Raises:
            PenstockError: the model raised, too many wait for it, or the deadline passed. Its fields say which
                version and route it was.
        """
        try:
            outputs = await self.engine.predict(
                self.served.revision.endpoint,
                self.model,
                self.columns,
                self.row_count,
                deadline_s=min(limit_s, asked_s),
                may_inline=self.route == "stable",
            )
        except asyncio.CancelledError:
            if self._has_waited():
                self._tell({}, "abandoned")
            raise
        except Exception as error:
            raise self._failed(error, limit_s, asked_s) from error
        self._tell(outputs, None)
        return outputs

    def run_soon(
        self, limit_s: float, asked_s: float, settle: Callable[[Outputs | PenstockError], None]
    ) -> bool:
        """Predict in this turn of the loop, where the model is cheap; `settle` takes what becomes of it.

        Returns: whether it will; False, and nothing has happened, where `run` has to be awaited.
        """
        if min(limit_s, asked_s) <= time.perf_counter():
            return False
        waiting = _Soon(self, limit_s, asked_s, settle)
        endpoint = self.served.revision.endpoint
        return self.engine.predict_soon(endpoint, self.model, self.columns, self.row_count, waiting)

    def _failed(self, error: Exception, limit_s: float, asked_s: float) -> PenstockError:
        """Tell that it failed; return the error for the client."""
        if is_unknown_category(error):
            # counted for the version all the same: one that refuses what another takes must not go on
            self._tell({}, UNKNOWN_CATEGORY.rpartition(".")[2])
            return self._placed(Invalid(error.message, code=error.code, hint=error.hint))
        failure = self._failure(error)
        if failure.code != "serving.deadline" or asked_s >= limit_s or self._has_waited():
            self._tell({}, failure.code.rpartition(".")[2])
        else:
            failure.fields.pop("route")  # no failure of the version's
        if failure.code == "serving.deadline":
            failure.hint = f"give it more time ({self._bound(limit_s, asked_s)}), or send fewer rows"
        return failure

    def _bound(self, limit_s: float, asked_s: float) -> str:
        """Say what set the time that a request had."""
        if asked_s < limit_s:
            return "parameter `timeout`, in microseconds, or the deadline of the gRPC call"
        limits = self.engine.limits_of(self.served.revision.endpoint)
        return f"{limits.timeout_setting} is {limits.timeout_s:g} s"

    def _has_waited(self) -> bool:
        return time.perf_counter() - self.started_s >= ABANDONED_S

    def shadowed(self, version: int, answered: Outputs) -> Call:
        """Return the same rows for a shadow version: what the client sent by a column's name, whoever takes that.

        Raises:
            Invalid: they do not fit it.
        """
        model, asked = self.served.models[version], self.asked
        known = {column.name: column.datatype for column in self.model.signature.inputs}
        found = {name: Tensor(name, known[name], values) for name, values in self.columns.items()}
        if asked is not None:
            taken = {column.name for column in model.signature.inputs}
            sent = {one.name: one for one in asked.tensors_for(version)}
            found |= {name: one for name, one in sent.items() if name in taken}
        columns, row_count = match_columns(model, tuple(found.values()), self.served.foreign_inputs(model))
        if asked is not None and asked.params:
            columns = with_params(model, columns, asked.params, self.served)
        return replace(
            self,
            model=model,
            asked=None,
            route="shadow",
            columns=columns,
            row_count=row_count,
            started_s=time.perf_counter(),
            answered=answered,
        )

    def tell_misfit(self, version: int) -> None:
        """Tell that a shadow version does not take the rows."""
        replace(
            self,
            model=self.served.models[version],
            route="shadow",
            columns={},
            row_count=0,
            started_s=time.perf_counter(),
        )._tell({}, "misfit")

    def settle(self, predicted: asyncio.Future[Outputs]) -> None:
        """Tell of a prediction that no client waits for."""
        error = predicted.exception()
        outputs = {} if error else predicted.result()
        kind = "misfit" if is_unknown_category(error) else "model_failed"
        self._tell(outputs, kind if error else None, differences_of(outputs, self.answered or {}))

    def _failure(self, error: Exception) -> PenstockError:
        if not isinstance(error, PenstockError) or error.code not in ENGINE_CODES:
            logger.warning("version %s of %s raised", self.model.version, self.model.name, exc_info=error)
            error = PenstockError(
                f"the model failed on this request: {described(error)}",
                code="serving.model_failed",
            )
        return self._placed(error)

    def _placed(self, error: PenstockError) -> PenstockError:
        error.fields.update(version=self.model.version, route=self.route, prediction_id=self.id)
        return error

    def _tell(self, outputs: Outputs, error: str | None, differences: Columns = MappingProxyType({})) -> None:
        revision = self.served.revision
        self.recorder.record(
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
                differences=differences,
            )
        )


def is_unknown_category(error: BaseException | None) -> TypeGuard[Invalid]:
    """Whether what was asked holds a category that the model was not trained with, which only the model could find."""
    return isinstance(error, Invalid) and error.code == UNKNOWN_CATEGORY


class _Soon:
    """Waits for a call's outputs as a future does, and takes them at once: a task and its turn cost 20 us."""

    __slots__ = ("_asked_s", "_call", "_is_done", "_limit_s", "_settle")

    def __init__(
        self,
        call: Call,
        limit_s: float,
        asked_s: float,
        settle: Callable[[Outputs | PenstockError], None],
    ) -> None:
        self._call = call
        self._limit_s, self._asked_s = limit_s, asked_s
        self._settle = settle
        self._is_done = False

    def done(self) -> bool:
        return self._is_done

    def set_result(self, outputs: Outputs) -> None:
        self._is_done = True
        try:
            self._call._tell(outputs, None)
        except Exception as error:  # noqa: BLE001 - who waits is answered whatever the outputs do to their record
            self._settle(self._call._failure(error))
        else:
            self._settle(outputs)

    def set_exception(self, error: Exception) -> None:
        self._is_done = True
        failure = self._call._failed(error, self._limit_s, self._asked_s)
        failure.__cause__ = error
        self._settle(failure)


def differences_of(outputs: Outputs, answered: Outputs) -> dict[str, Array]:
    """Return how far outputs are from others of the same names, a number a row."""
    found = {}
    for name, values in outputs.items():
        other = answered.get(name)
        if other is None or other.shape != values.shape or values.ndim != 1:
            continue
        if values.dtype.kind == other.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                found[f"{name}{DIFFERENCE}"] = np.abs(values - other)
        else:
            found[f"{name}{DIFFERENCE}"] = (values != other).astype(np.float64)
    return found


def match_columns(
    model: LoadedModel, tensors: Iterable[Tensor], foreign: frozenset[str]
) -> tuple[Columns, int]:
    """Match tensors with the inputs of a model; those that only other versions take are left out.

    Clients cannot know which version answers.
    """
    if not foreign:
        return to_columns(model.signature, tensors)
    return to_columns(model.signature, [tensor for tensor in tensors if tensor.name not in foreign])
