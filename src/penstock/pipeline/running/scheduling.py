"""Which stage's commands run when: as many at once as there is room for, in the order of the plan.

One thread looks at steps, begins and ends them; executors tell it through a queue. While it only waits, the
repository's lock is lent. What a step is and what becomes of it is `runner`'s (`Steps`).
"""

from __future__ import annotations

import heapq
import shlex
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol, TextIO

from penstock.base.errors import PenstockError, Refused, Unavailable
from penstock.base.threads import take_next
from penstock.pipeline.executors.local import LocalExecutor, count_gpus, memory_of_machine
from penstock.pipeline.executors.role import Ended, Message, Task
from penstock.pipeline.graph import Node
from penstock.pipeline.making import Started, Work, clear, start, task_of
from penstock.pipeline.running.reproducing import ReproduceOptions, Watcher
from penstock.pipeline.stage import Stage

KEPT_LINES = 20
LOST_RETRIES = 3
"""How often a stage is begun again because what ran it was lost; its own `retries` are for its own failures."""


@dataclass
class Due:
    """A stage whose commands have to run, or do."""

    stage: Stage
    work: Work
    reasons: Sequence[str]
    began: float = field(default_factory=time.monotonic)
    started: Started | None = None
    failed_count: int = 0
    lost_count: int = 0
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    log: TextIO | None = None

    @property
    def task(self) -> Task:
        """What an executor runs."""
        return task_of(self.work)


class Steps(Protocol):
    """What the schedule asks of the reproduction; each call is made while the repository is locked."""

    def begin(self, at: int) -> Due | None:
        """Do what a step of the plan needs without commands; return what is left to run."""

    def end(self, due: Due, error: PenstockError | None) -> None:
        """Keep what a stage made, or note why it failed."""

    @property
    def is_stopping(self) -> bool:
        """Whether nothing more is to begin."""


class Schedule:
    """Goes through a plan once.

    Args:
        plan: the steps, each after what it needs.
        upstream: what each needs; a step waits for those that are in the plan.
        one_by_one: keep to the order of the plan, one step at a time.
    """

    def __init__(
        self,
        plan: Sequence[Node],
        upstream: Mapping[str, Sequence[str]],
        options: ReproduceOptions,
        watcher: Watcher,
        *,
        one_by_one: bool,
    ) -> None:
        self._options, self._watcher = options, watcher
        self._jobs = 1 if one_by_one else max(1, options.jobs)
        self._executor = options.executor or LocalExecutor()
        self._memory_bytes, self._gpus = memory_of_machine(), count_gpus()
        places = {step.address: at for at, step in enumerate(plan)}
        self._places = places
        self._left = [0] * len(plan)
        self._users: list[list[int]] = [[] for _ in plan]
        for step in plan if not one_by_one else ():
            for need in upstream.get(step.address, ()):
                if need in places:
                    self._left[places[step.address]] += 1
                    self._users[places[need]].append(places[step.address])
        self._ready = [at for at, count in enumerate(self._left) if count == 0]
        self._waiting: list[Due] = []
        self._running: dict[str, Due] = {}
        self._told: SimpleQueue[Message] = SimpleQueue()

    def run(self, steps: Steps) -> None:
        """Begin and end every step; when the last call says stop, only what runs is ended.

        An interruption, or a defect, ends every command that runs before it is passed on.
        """
        try:
            while True:
                self._begin_some(steps)
                if not self._running:
                    return
                for ended in self._wait():
                    self._take(steps, ended)
        except BaseException:
            self._executor.cancel()
            for due in self._running.values():
                self._close(due)
            raise
        finally:
            if self._options.executor is None:
                self._executor.close()

    def _begin_some(self, steps: Steps) -> None:
        for due in [due for due in self._waiting if not steps.is_stopping]:
            if self._has_room(due):
                self._waiting.remove(due)
                self._launch(steps, due)
        while self._ready and not steps.is_stopping and len(self._running) < self._jobs:
            at = heapq.heappop(self._ready)
            begun = steps.begin(at)
            if begun is None:
                self._release(at)
            elif self._refuse(steps, begun):
                continue
            elif self._has_room(begun):
                self._launch(steps, begun)
            else:
                self._waiting.append(begun)

    def _refuse(self, steps: Steps, due: Due) -> bool:
        try:
            self._executor.check(due.task)
        except (Refused, Unavailable) as error:
            steps.end(due, error)
            self._release(self._places[due.stage.address])
            return True
        return False

    def _has_room(self, due: Due) -> bool:
        """Say whether a stage may begin beside those that run; alone it always may."""
        if not self._running:
            return True
        others = [one.stage.conditions for one in self._running.values()]
        wanted = due.stage.conditions
        if any(set(one.mutexes) & set(wanted.mutexes) for one in others):
            return False
        if self._executor.name != LocalExecutor.name:
            return len(self._running) < self._jobs  # the cluster has its own accounts
        if len(self._running) >= self._jobs:
            return False
        cpus = sum(min(one.resources.cpus, self._jobs) for one in [*others, wanted])
        memory = sum(one.resources.memory_bytes for one in [*others, wanted])
        gpus = sum(one.resources.gpus for one in [*others, wanted])
        return cpus <= self._jobs and memory <= self._memory_bytes and gpus <= self._gpus

    def _launch(self, steps: Steps, due: Due) -> None:
        try:
            due.started = start(due.work)
        except PenstockError as error:
            steps.end(due, error)
            self._release(self._places[due.stage.address])
            return
        if self._options.logs is not None:
            path = log_of(self._options.logs, due.stage)
            path.parent.mkdir(parents=True, exist_ok=True)
            due.log = path.open("w", encoding="utf-8", errors="replace")
        self._running[due.stage.address] = due
        self._watcher.started(due.stage, due.reasons)
        self._executor.submit(due.task, self._told.put)

    def _wait(self) -> list[Ended]:
        """Return what has ended; lines are passed on meanwhile."""
        ended: list[Ended] = []
        with self._options.unlocked():
            while not ended:
                self._sort(take_next(self._told), ended)
        while True:
            try:
                self._sort(self._told.get_nowait(), ended)
            except Empty:
                return ended

    def _sort(self, message: Message, ended: list[Ended]) -> None:
        if isinstance(message, Ended):
            ended.append(message)
            return
        due = self._running[message.name]
        due.lines.append(message.line)
        if due.log is not None:
            due.log.write(f"{message.line}\n")
        self._watcher.printed(due.stage, message.line)

    def _take(self, steps: Steps, ended: Ended) -> None:
        due = self._running[ended.name]
        if ended.ending != "done" and not steps.is_stopping and self._try_again(due, ended):
            return
        del self._running[ended.name]
        self._close(due)
        steps.end(due, None if ended.ending == "done" else failure(due, ended, self._options.logs))
        self._release(self._places[ended.name])

    def _try_again(self, due: Due, ended: Ended) -> bool:
        if ended.ending == "lost":
            due.lost_count += 1
            left = LOST_RETRIES - due.lost_count
        else:
            due.failed_count += 1
            left = due.stage.conditions.retries - due.failed_count
        if left < 0:
            return False
        self._watcher.retried(due.stage, what_failed(due.stage, ended), left)
        clear(due.work)
        self._executor.submit(due.task, self._told.put)
        return True

    def _release(self, at: int) -> None:
        for user in self._users[at]:
            self._left[user] -= 1
            if self._left[user] == 0:
                heapq.heappush(self._ready, user)

    def _close(self, due: Due) -> None:
        if due.log is not None:
            due.log.close()
        if due.started is not None:
            due.started.held.close()


def log_of(folder: Path, stage: Stage) -> Path:
    """Return where what a stage's commands printed last is kept."""
    return folder / f"{stage.address.replace('/', '_').replace(':', '_')}.log"


def what_failed(stage: Stage, ended: Ended) -> str:
    """Return what went wrong, as in "`make x` exited with 2"."""
    if ended.ending == "timed out":
        return f"`{ended.command}` was ended after {stage.conditions.timeout_s:g} s"
    if ended.ending == "lost":
        return f"what ran it was lost: {ended.detail}"
    if ended.exit_code is None:
        return ended.detail
    if ended.exit_code < 0:
        return f"`{ended.command}` was ended by signal {-ended.exit_code}"
    return f"`{ended.command}` exited with {ended.exit_code}"


def failure(due: Due, ended: Ended, logs: Path | None) -> Refused:
    """Return the error for a stage whose commands failed; it names the log and how to run the stage alone."""
    stage = due.stage
    log = log_of(logs, stage) if logs is not None else None
    tried = f" ({due.failed_count} attempts)" if due.failed_count > 1 else ""
    return Refused(
        f"stage `{stage.address}` failed: {what_failed(stage, ended)}{tried}",
        code="pipeline.command_failed",
        hint=f"{f'what it printed is in {log}; ' if log else ''}mend it, then penstock repro -s {shlex.quote(stage.address)}",
        stage=stage.address,
        exit_code=ended.exit_code,
        output=list(due.lines),
        log=str(log) if log else None,
    )
