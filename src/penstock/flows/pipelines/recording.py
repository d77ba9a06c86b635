"""Where the run of a reproduction is recorded: in an embedded store at once, in any other by way of `stored_runs`."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from penstock.base.running import is_running
from penstock.project.project import Project
from penstock.tracking.entities import Run
from penstock.tracking.quick_runs import Ending, begin_run, end_run, make_store

PROCESS_TAG = "penstock.process"


def process_value() -> str:
    """Return what the tag of a run's process says of this one."""
    return f"{socket.gethostname()}:{os.getpid()}"


def record_begin(project: Project, run: Run) -> None:
    """Record a run that begins; runs of processes of this machine that are gone were killed, and are marked so.

    Raises:
        Invalid, Unavailable: it cannot be recorded.
    """
    store = _embedded(project)
    if store is not None and project.may_make_store:
        _ = project.home
        make_store(store)
    if store is not None and begin_run(store, run, PROCESS_TAG, _has_ended):
        return
    from penstock.flows.pipelines.stored_runs import begin

    begin(project, run, PROCESS_TAG, _has_ended)


def record_end(project: Project, run: Run, ending: Ending) -> Run:
    """Record how a run that was recorded ended, and return it as it is recorded.

    Raises:
        NotFound, Invalid, Unavailable: it cannot be recorded.
    """
    store = _embedded(project)
    ended = end_run(store, run, ending) if store is not None else None
    if ended is not None:
        return ended
    from penstock.flows.pipelines.stored_runs import end

    return end(project, run, ending)


def find_run_of_lock(project: Project, digest: str) -> Run | None:
    """Return the newest finished run that produced this pipeline lock, or None."""
    from penstock.flows.pipelines.stored_runs import of_lock

    return of_lock(project, digest)


def _embedded(project: Project) -> Path | None:
    """Return the store's file, where it is one and is opened with nothing but its usual settings."""
    return None if "?" in project.places.store_url else project.places.store_file


def _has_ended(process: str) -> bool:
    """Say whether the process that a tag names is one of this machine that is gone."""
    name, _, pid = process.rpartition(":")
    return name == socket.gethostname() and pid.isdecimal() and len(pid) < 12 and not is_running(int(pid))
