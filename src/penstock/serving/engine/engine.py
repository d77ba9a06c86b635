"""Predictions for many callers: every version has a queue and threads of its own, and callers come first.

It knows models, rows and deadlines; not endpoints' revisions, routes or requests, which are the data plane's.
A prediction that hangs costs a thread and the callers that wait for it, and nothing else.

Everything but the models' own code runs on one event loop, the one that asks first.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial

from penstock.base.errors import PenstockError, Unavailable
from penstock.base.numbers import counted
from penstock.serving.ending.underway import Underway
from penstock.serving.engine.job import Batch, Job, Outputs, Waiting
from penstock.serving.engine.lane import Lane
from penstock.serving.engine.options import EndpointLimits, EngineOptions
from penstock.serving.engine.share import Share, Turns
from penstock.serving.loaders.model import Columns
from penstock.serving.repository import LoadedModel

logger = logging.getLogger(__name__)
SHADOW_BACKLOG = 256
"""Shadow predictions waiting for one version; further ones are left out."""
SHADOW_WEIGHT = 0.25
"""What shadows get of the processor against the endpoint that casts them."""
LEFT_S = 0.1
"""So soon a prediction may still end whose callers have all left; then another thread takes over."""
INLINE_ROWS = 256
INLINE_TURN_S = 0.005
"""After this long of inline predictions the loop looks after its connections."""
_NO_LIMITS = EndpointLimits()
_numbers = itertools.count()
Place = tuple[int, str, bool]
"""Of a lane: the engine's number, the endpoint, and whether it is for shadows."""


class Engine:
    """See the module. Every method is for the thread of the loop, but for `limits`, which is replaced whole."""

    def __init__(self, options: EngineOptions | None = None) -> None:
        self.options = options or EngineOptions()
        self._limits: Mapping[str, EndpointLimits] = {}
        self.default_limits = _NO_LIMITS
        self.underway = Underway(None)
        self._number = next(_numbers)
        self.on_batch: Callable[[str, int, int, int], None] | None = None
        """Told of every batch for callers: endpoint, version, rows, and how many requests wait still."""
        self._asked: weakref.WeakSet[LoadedModel] = weakref.WeakSet()
        """Models that have lanes here; each keeps its own, since looking it up by a weak reference takes 1 us."""
        self._shares: dict[tuple[str, bool], Share] = {}
        self._turns = Turns(self.options, self._start)

    @property
    def limits(self) -> Mapping[str, EndpointLimits]:
        """What endpoints may take; of one that is not named, `default_limits` says it."""
        return self._limits

    @limits.setter
    def limits(self, limits: Mapping[str, EndpointLimits]) -> None:
        self._limits = limits
        for (endpoint, is_shadow), share in list(self._shares.items()):
            share.weight = self._weight_of(endpoint, is_shadow=is_shadow)

    def limits_of(self, endpoint: str) -> EndpointLimits:
        """Return what an endpoint may take."""
        return self._limits.get(endpoint, self.default_limits)

    def waiting(self) -> dict[str, int]:
        """Return how many requests wait, by endpoint; shadows do not count."""
        found: dict[str, int] = {}
        for model in list(self._asked):
            for (_, endpoint, is_shadow), lane in self._own(model):
                if not is_shadow:
                    found[endpoint] = found.get(endpoint, 0) + lane.waiting
        return found

    async def predict(
        self,
        endpoint: str,
        model: LoadedModel,
        columns: Columns,
        row_count: int,
        *,
        deadline_s: float,
        may_inline: bool,
    ) -> Outputs:
        """Return the outputs for a request's rows. Cancelling it takes the request out of the queue, or lets another thread
        take over from the one that predicts for nobody else.

        Args:
            deadline_s: when the caller gives up, on the performance clock.
            may_inline: whether a cheap model may be asked on the loop itself.

        Raises:
            Unavailable: the version's queue is full (`serving.overloaded`), or the deadline has passed
                (`serving.deadline`).
            Exception: whatever the model raises.
        """
        loop = asyncio.get_running_loop()
        lane = self._lane(endpoint, model, is_shadow=False)
        limits = self.limits_of(endpoint)
        if lane.waiting >= limits.backlog:
            raise _overloaded(endpoint, lane.waiting)
        left_s = deadline_s - time.perf_counter()
        if left_s <= 0:
            raise deadline_passed(endpoint)
        future = loop.create_future()
        job = Job(model, columns, row_count, future)
        lane.add(job)
        if may_inline and self._is_inline(model, row_count) and not lane.busy:
            self._flush_soon(lane, loop)
        else:
            job.timer = loop.call_later(left_s, self._expire, lane, job)
            self._turns.ask(lane)
        try:
            outputs: Outputs = await future
            return outputs
        except asyncio.CancelledError:
            if job.is_queued:
                lane.drop(job)
            else:
                loop.call_later(LEFT_S, partial(self._release, lane, have_left=True))
            raise
        finally:
            if job.timer is not None:
                job.timer.cancel()

    def is_quick(self, endpoint: str, model: LoadedModel, row_count: int = 1) -> bool:
        """Whether `predict_soon` would take a request of so many rows now."""
        if not self._is_inline(model, row_count):
            return False
        lane = self._lane(endpoint, model, is_shadow=False)
        return not lane.busy and lane.waiting < self.limits_of(endpoint).backlog

    def predict_soon(
        self, endpoint: str, model: LoadedModel, columns: Columns, row_count: int, waiting: Waiting
    ) -> bool:
        """Predict a cheap model's rows in this turn of the loop, and tell who waits; nothing else need be awaited.

        Returns: whether it will; False, and nothing has happened, where the rows have to wait as `predict` lets them.
        """
        if not self.is_quick(endpoint, model, row_count):
            return False
        lane = self._lane(endpoint, model, is_shadow=False)
        lane.add(Job(model, columns, row_count, waiting))
        self._flush_soon(lane, asyncio.get_running_loop())
        return True

    def cast(
        self,
        endpoint: str,
        model: LoadedModel,
        columns: Columns,
        row_count: int,
        done: Callable[[asyncio.Future[Outputs]], None],
    ) -> bool:
        """Predict for nobody, and call `done` with the finished prediction; return False when too many wait."""
        lane = self._lane(endpoint, model, is_shadow=True)
        if lane.waiting >= SHADOW_BACKLOG:
            return False
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(done)
        lane.add(Job(model, columns, row_count, future))
        self._turns.ask(lane)
        return True

    def close(self) -> None:
        """End the threads. Those that predict are left to finish by themselves."""
        for model in list(self._asked):
            for _, lane in self._own(model):
                lane.close()

    def _own(self, model: LoadedModel) -> list[tuple[Place, Lane]]:
        return [(place, lane) for place, lane in list(model.lanes.items()) if place[0] == self._number]

    def _lane(self, endpoint: str, model: LoadedModel, *, is_shadow: bool) -> Lane:
        place = (self._number, endpoint, is_shadow)
        lane: Lane | None = model.lanes.get(place)
        if lane is None:
            share = self._shares.setdefault((endpoint, is_shadow), Share())
            share.weight = self._weight_of(endpoint, is_shadow=is_shadow)
            underway = self.underway.predicting(endpoint, model.version, is_shadow=is_shadow)
            lane = Lane(endpoint, share, self.options, is_shadow=is_shadow, underway=underway)
            model.lanes[place] = lane
            self._asked.add(model)
            weakref.finalize(model, lane.close).atexit = False
        return lane

    def _weight_of(self, endpoint: str, *, is_shadow: bool) -> float:
        return self.limits_of(endpoint).weight * (SHADOW_WEIGHT if is_shadow else 1.0)

    def _is_inline(self, model: LoadedModel, row_count: int) -> bool:
        cost = model.cost
        return (
            model.is_bounded
            and row_count <= INLINE_ROWS
            and cost.count > 1
            and cost.mean_s < self.options.inline_s
        )

    def _flush_soon(self, lane: Lane, loop: asyncio.AbstractEventLoop) -> None:
        if not lane.is_flushing:
            lane.is_flushing = True
            loop.call_soon(self._flush, lane)

    def _flush(self, lane: Lane) -> None:
        """Predict on the loop what came for a cheap model in this turn of the loop."""
        lane.is_flushing = False
        until_s = time.perf_counter() + INLINE_TURN_S
        while (batch := lane.take()) is not None:
            lane.note_begun(batch)
            batch.predict()
            lane.note_done(batch)
            self._settle(batch)
            if lane.waiting and time.perf_counter() > until_s:
                lane.is_flushing = True
                asyncio.get_running_loop().call_soon(self._flush, lane)
                return

    def _start(self, lane: Lane) -> Batch | None:
        batch = lane.take()
        if batch is not None:
            batch.started_s = time.perf_counter()
            lane.start(batch, asyncio.get_running_loop(), self._finish)
        return batch

    def _finish(self, batch: Batch) -> None:
        lane = batch.lane
        lane.running.discard(batch)
        lane.note_done(batch)
        if batch.is_stuck:
            lane.stuck -= 1
        else:
            lane.busy -= 1
        self._turns.give_back(batch)
        self._settle(batch)
        self._turns.give()

    def _settle(self, batch: Batch) -> None:
        """Give every caller what is its own; what goes wrong with one is nothing of the others."""
        for job, result in zip(batch.jobs, batch.results, strict=False):
            if job.future.done():
                continue
            try:
                if isinstance(result, Exception):
                    job.future.set_exception(result)
                else:
                    job.future.set_result(result)
            except Exception:
                logger.exception("a request of endpoint %s could not be settled", batch.lane.endpoint)
        lane = batch.lane
        if self.on_batch is not None and batch.jobs and not lane.is_shadow:
            self.on_batch(lane.endpoint, batch.jobs[0].model.version, batch.row_count, lane.waiting)

    def _expire(self, lane: Lane, job: Job) -> None:
        """Tell a caller that its deadline has passed."""
        if job.future.done():
            return
        lane.drop(job)
        job.future.set_exception(deadline_passed(lane.endpoint))
        self._release(lane)

    def _release(self, lane: Lane, *, have_left: bool = False) -> None:
        """Let other threads take over from those that nobody waits for any more.

        Args:
            have_left: nobody was told of an error: should the process end of it, that is still to be known.
        """
        for batch in lane.running:
            if not batch.is_stuck and all(job.future.done() for job in batch.jobs):
                batch.is_stuck = True
                if not have_left:
                    lane.note_done(batch)
                lane.busy -= 1
                lane.stuck += 1
                self._turns.give_back(batch)
        self._turns.give()


def _overloaded(endpoint: str, count: int) -> PenstockError:
    return Unavailable(
        f"{counted(count, 'request waits', 'requests wait')} for endpoint {endpoint} already",
        code="serving.overloaded",
        hint="retry later",
        retry_after_s=1,
    )


def deadline_passed(endpoint: str) -> PenstockError:
    """Return the error of a request that was not answered in time; whose time it was is for the caller to say."""
    return Unavailable(
        f"endpoint {endpoint} did not answer within the time that the request had",
        code="serving.deadline",
        hint="give it more time, or send fewer rows",
    )
