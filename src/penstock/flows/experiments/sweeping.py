"""Many experiments run, several at once, recorded as runs under one parent; what fails does not stop the others."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.base.threads import begin, thread_pool, wait_for_one
from penstock.flows.experiments.queueing import Waiting, finish, put_again, put_failed, take
from penstock.flows.experiments.request import Job
from penstock.flows.experiments.running import SOURCE, Company, Ran, run_apart
from penstock.flows.pipelines.looking import SILENT
from penstock.flows.pipelines.recording import PROCESS_TAG
from penstock.pipeline.executors.local import LocalExecutor
from penstock.pipeline.executors.role import Executor
from penstock.pipeline.running.reproducing import StageResult, Watcher
from penstock.pipeline.stage import Stage
from penstock.project.project import Project
from penstock.tracking import runs
from penstock.tracking.entities import Run, RunStatus
from penstock.tracking.run_names import new_run_id
from penstock.tracking.values import set_tags


@dataclass(frozen=True)
class Outcome:
    """What became of one experiment: `ran`, or the error that it failed with."""

    job: Job
    ran: Ran | None
    error: PenstockError | None = None


def run_all(
    project: Project,
    waiting: Sequence[Waiting],
    company: Company,
    *,
    jobs: int = 1,
    on_done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run what waits, up to `jobs` at once, and return what became of each, in order.

    What failed is kept as such; what an interrupt stops, or keeps from starting, waits again.

    Raises:
        KeyboardInterrupt: it was interrupted; running commands are ended first.
    """
    _ = project.database, project.artifacts, project.data  # opened before threads share them
    parent = None
    if len(waiting) > 1 and company.parent is None:
        job = waiting[0].job
        parent = begin_parent(project, job.request.sweep or f"{len(waiting)}-experiments", job.baseline)
        company = replace(company, parent=parent)
    work = _Work(project, company)
    found: dict[str, Outcome] = {}
    pending: set[Future[Outcome]] = set()
    with thread_pool(jobs) as pool:
        try:
            for one in waiting:
                pending.add(pool.submit(work.run, one))
            while pending:
                done, pending = wait_for_one(pending)
                for future in done:
                    outcome = future.result()
                    found[outcome.job.name] = outcome
                    on_done(outcome)
        except BaseException:
            begun = [future for future in pending if not future.cancel()]
            work.stop()
            wait(begun)
            end_parent(project, parent, "KILLED")
            raise
    end_parent(project, parent, "FAILED" if any(one.error for one in found.values()) else "FINISHED")
    return [found[one.job.name] for one in waiting]


class _Stoppable:
    """Tells a watcher, and no longer lets a stage begin or print once the sweep is stopped."""

    def __init__(self, watcher: Watcher, stopped: threading.Event) -> None:
        self.watcher, self.stopped = watcher, stopped

    def started(self, stage: Stage, reasons: Sequence[str]) -> None:
        """Pass it on."""
        self._check()
        self.watcher.started(stage, reasons)

    def printed(self, stage: Stage, line: str) -> None:
        """Pass it on."""
        self._check()
        self.watcher.printed(stage, line)

    def retried(self, stage: Stage, why: str, left: int) -> None:
        """Pass it on."""
        self._check()
        self.watcher.retried(stage, why, left)

    def finished(self, result: StageResult) -> None:
        """Pass it on."""
        self.watcher.finished(result)

    def _check(self) -> None:
        if self.stopped.is_set():
            raise KeyboardInterrupt


class _Work:
    """Runs one experiment in a thread, until it is stopped."""

    def __init__(self, project: Project, company: Company) -> None:
        self.project, self.stopped = project, threading.Event()
        self.company = replace(company, watcher=_Stoppable(company.watcher or SILENT, self.stopped))
        self._lock = threading.Lock()
        self._running: list[Executor] = []

    def run(self, one: Waiting) -> Outcome:
        job = one.job
        try:
            take(self.project.git, one)
        except PenstockError as error:  # whoever has it says what becomes of it
            return Outcome(job, None, error)
        try:
            with self._executor() as executor:
                ran = run_apart(self.project, job, replace(self.company, executor=executor))
        except PenstockError as error:
            (put_again if self.stopped.is_set() else put_failed)(self.project.git, job)
            return Outcome(job, None, error)
        except BaseException:
            put_again(self.project.git, job)
            raise
        finish(self.project.git, job)
        return Outcome(job, ran)

    def stop(self) -> None:
        """End the commands that run, and let no more begin; what tidies up after them is left alone."""
        with self._lock:
            self.stopped.set()
            running = list(self._running)
        wait([begin("end of experiments", executor.cancel) for executor in dict.fromkeys(running)])

    @contextmanager
    def _executor(self) -> Iterator[Executor]:
        """Yield who runs the commands of one experiment."""
        given = self.company.executor
        executor: Executor = given or LocalExecutor()
        with self._lock:
            if self.stopped.is_set():
                raise KeyboardInterrupt
            self._running.append(executor)
        try:
            yield executor
        finally:
            with self._lock:
                self._running.remove(executor)
            if given is None:
                executor.close()


def begin_parent(project: Project, name: str, baseline: str) -> str:
    """Begin the run that experiments belong to, and return its id."""
    run = Run(
        id=new_run_id(),
        experiment=project.settings.project,
        name=name,
        status="RUNNING",
        start_ms=now_ms(),
        commit=baseline,
        tags={
            "penstock.actor": project.actor,
            "penstock.source": f"{SOURCE}s",
            PROCESS_TAG: _process(),
        },
    )
    with project.database.write() as connection:
        runs.create_run(connection, run)
    return run.id


def reopen_parent(project: Project, run_id: str | None) -> str | None:
    """Go on with a run that experiments belong to; None where it is not there any more."""
    if run_id is None:
        return None
    try:
        with project.database.write() as connection:
            runs.update_run(connection, run_id, status="RUNNING")
            set_tags(connection, run_id, {PROCESS_TAG: _process()})
    except (NotFound, Invalid):  # deleted
        return None
    return run_id


def end_parent(project: Project, run_id: str | None, status: RunStatus) -> None:
    """End the run that experiments belong to, where there is one."""
    if run_id is None:
        return
    with project.database.write() as connection:
        runs.finish_run(connection, run_id, status)


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
