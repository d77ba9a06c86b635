"""One prediction that somebody waits for, and several of them merged into one call of the model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from penstock.base.errors import described
from penstock.serving.loaders.model import Array, Columns, join_columns, layout_of, size_bytes_of
from penstock.serving.repository import LoadedModel

if TYPE_CHECKING:
    from penstock.serving.engine.lane import Lane

logger = logging.getLogger(__name__)
Outputs = dict[str, Array]


class Waiting(Protocol):
    """Who waits for outputs: a future, or what takes them at once."""

    def done(self) -> bool:
        """Whether it has its outputs, or waits no more."""
        ...

    def set_result(self, result: Outputs, /) -> None:
        """Take the outputs."""
        ...

    def set_exception(self, exception: Exception, /) -> None:
        """Take what the model raised."""
        ...


@dataclass(slots=True, eq=False)
class Job:
    """Rows for a model, and who waits for the outputs."""

    model: LoadedModel
    columns: Columns
    row_count: int
    future: Waiting
    timer: asyncio.TimerHandle | None = None
    is_queued: bool = True

    @property
    def size_bytes(self) -> int:
        """How large its inputs are; text counts as its references."""
        return size_bytes_of(self.columns)

    def shape(self) -> tuple[Any, ...]:
        """Return what two jobs must have in common to be merged."""
        return layout_of(self.columns)


@dataclass(slots=True, eq=False)
class Batch:
    """Jobs of one lane that are predicted together. `results` has one entry a job, in their order."""

    lane: Lane
    jobs: list[Job]
    started_s: float = 0.0
    has_turn: bool = False
    is_stuck: bool = False
    noted: int = 0
    results: list[Outputs | Exception] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        """Rows of all jobs."""
        return sum(job.row_count for job in self.jobs)

    def predict(self) -> None:
        """Ask the model; whatever it raises is a result of the job that it concerns. In any thread."""
        self.jobs = [job for job in self.jobs if not job.future.done()]
        if not self.jobs:
            return
        if len(self.jobs) > 1:
            try:
                self.results = self._predict_merged()
            except BaseException as error:  # noqa: BLE001 - the model's own code may raise anything
                logger.debug("a batch of %d requests failed, each is tried alone: %s", len(self.jobs), error)
            else:
                return
        self.results = [_predict_one(job) for job in self.jobs]

    def _predict_merged(self) -> list[Outputs | Exception]:
        jobs = self.jobs
        model = jobs[0].model
        merged = join_columns([job.columns for job in jobs])
        count = self.row_count
        outputs = model.predict(merged, count)
        if any(len(values) != count for values in outputs.values()):
            model.is_batchable = False
            raise ValueError("the outputs are not one value a row")
        results: list[Outputs | Exception] = []
        start = 0
        for job in jobs:
            end = start + job.row_count
            results.append({name: values[start:end] for name, values in outputs.items()})
            start = end
        return results


def _predict_one(job: Job) -> Outputs | Exception:
    try:
        return _checked(job.model.predict(job.columns, job.row_count))
    except StopIteration as error:  # a future takes none: its caller would wait for its deadline
        return _as_failure(error)
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything; its caller is told
        return error
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a model would end the thread, and answer nobody
        return _as_failure(error)


def _as_failure(error: BaseException) -> RuntimeError:
    failure = RuntimeError(described(error))
    failure.__cause__ = error
    return failure


def _checked(outputs: Mapping[str, Array]) -> Outputs:
    return outputs if isinstance(outputs, dict) else dict(outputs)
