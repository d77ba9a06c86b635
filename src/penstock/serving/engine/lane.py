"""The queue and the threads of one version on one endpoint.

Only the loop's thread touches a lane; its own threads see batches and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from penstock.base.threads import begin
from penstock.serving.cost import EXPLORED_ROWS
from penstock.serving.engine.job import Batch, Job
from penstock.serving.engine.options import EngineOptions
from penstock.serving.engine.share import Share
from penstock.serving.repository import LoadedModel

EXPLORE_EVERY = 64
"""Where merging does not gain, each such batch is merged nevertheless: models change their ways."""


class Lane:
    """Jobs that wait for one model, in the order they came. `underway` is where is counted what is predicted now."""

    def __init__(
        self,
        endpoint: str,
        share: Share,
        options: EngineOptions,
        *,
        is_shadow: bool,
        underway: memoryview[int],
    ) -> None:
        self.endpoint = endpoint
        self._underway = underway
        self.is_shadow = is_shadow
        self.share = share
        self._options = options
        self._jobs: deque[Job] = deque()
        self._inbox: SimpleQueue[Batch | None] = SimpleQueue()
        self._threads = 0
        self._taken = 0
        self.waiting = 0
        """Jobs that somebody still waits for and nobody has begun."""
        self.busy = 0
        """Threads that predict for somebody."""
        self.stuck = 0
        """Threads whose callers have all gone or passed their deadline."""
        self.running: set[Batch] = set()
        """What its threads predict now."""
        self.is_flushing = False

    @property
    def can_start(self) -> bool:
        """Whether a job waits and a thread may take it."""
        return (
            self.waiting > 0
            and self.busy < self._options.threads
            and self.busy + self.stuck < self._options.threads + self._options.spare_threads
        )

    def add(self, job: Job) -> None:
        """Let a job wait."""
        self._jobs.append(job)
        self.waiting += 1

    def drop(self, job: Job) -> None:
        """Forget a job that waits; one that was begun is not affected."""
        if job.is_queued:
            job.is_queued = False
            self.waiting -= 1
            if not self.waiting:
                self._jobs.clear()

    def take(self) -> Batch | None:
        """Take the next jobs, merged as far as the model gains from it; None when nobody waits."""
        first = self._next()
        if first is None:
            return None
        jobs = [first]
        model = first.model
        if self.waiting and model.is_batchable:
            self._fill(jobs, self._rows(model))
        return Batch(self, jobs)

    def _rows(self, model: LoadedModel) -> int:
        self._taken += 1
        rows = model.cost.worthwhile_rows(self._options.batch_delay_s, self._options.max_rows)
        if rows == 1 and self._taken % EXPLORE_EVERY == 0:
            return min(EXPLORED_ROWS, self._options.max_rows)
        return rows

    def _fill(self, jobs: list[Job], rows: int) -> None:
        rows -= jobs[0].row_count
        space = self._options.max_bytes - jobs[0].size_bytes
        shape = jobs[0].shape()
        while self.waiting and rows > 0:
            job = self._next()
            if job is None:
                return
            rows -= job.row_count
            space -= job.size_bytes
            if rows < 0 or space < 0 or job.shape() != shape:
                job.is_queued = True
                self._jobs.appendleft(job)
                self.waiting += 1
                return
            jobs.append(job)

    def _next(self) -> Job | None:
        while self._jobs:
            job = self._jobs.popleft()
            if job.is_queued:
                job.is_queued = False
                self.waiting -= 1
                return job
        return None

    def note_begun(self, batch: Batch) -> None:
        """Note that a batch is predicted from now on, for whoever finds this process ended."""
        batch.noted = len(batch.jobs)
        self._underway[0] += batch.noted

    def note_done(self, batch: Batch) -> None:
        """Note that it is not, or that nobody waits for it."""
        self._underway[0] -= batch.noted
        batch.noted = 0

    def start(self, batch: Batch, loop: asyncio.AbstractEventLoop, done: Callable[[Batch], None]) -> None:
        """Let a thread predict a batch and call `done` on the loop afterwards."""
        self.busy += 1
        self.running.add(batch)
        self.note_begun(batch)
        if self._threads < self.busy + self.stuck:
            self._threads += 1
            begin(f"penstock-{self.endpoint}", partial(_work, self._inbox, loop, done))
        self._inbox.put(batch)

    def close(self) -> None:
        """End the threads; predictions under way are finished or left behind."""
        for _ in range(self._threads):
            self._inbox.put(None)


def _work(
    inbox: SimpleQueue[Batch | None], loop: asyncio.AbstractEventLoop, done: Callable[[Batch], None]
) -> None:
    while (batch := inbox.get()) is not None:
        batch.predict()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(done, batch)
        batch = None  # an idle thread must not keep a model in memory
