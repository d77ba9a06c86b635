"""The run of a reproduction in a store of any kind, by the toolkit; see `recording`."""

from __future__ import annotations

from collections.abc import Callable

from penstock.base.clock import now_ms
from penstock.project.project import Project
from penstock.tracking import runs
from penstock.tracking.entities import MetricPoint, Run
from penstock.tracking.metrics import log_points
from penstock.tracking.quick_runs import Ending
from penstock.tracking.values import log_params, set_tags


def begin(project: Project, run: Run, tag: str, has_ended: Callable[[str], bool]) -> None:
    """Write a run that begins, and mark as killed those whose process has ended, as `quick_runs.begin_run`."""
    with project.database.write() as connection:
        for run_id, process in runs.list_running(connection, tag).items():
            if has_ended(process):
                runs.finish_run(connection, run_id, "KILLED")
        runs.create_run(connection, run)


def end(project: Project, run: Run, ending: Ending) -> Run:
    """Write how a run ended and return it.

    Raises:
        NotFound, Invalid: the run was taken away meanwhile, or something cannot be kept.
    """
    with project.database.write() as connection:
        set_tags(connection, run.id, ending.tags)
        if ending.status == "FINISHED":
            log_params(connection, run.id, ending.params)
            points = [MetricPoint(key, value, now_ms()) for key, value in ending.metrics.items()]
            log_points(connection, runs.require_writable(connection, run.id), points)
        runs.log_stages(connection, run.id, ending.stages)
        runs.finish_run(connection, run.id, ending.status, lock_digest=ending.lock_digest)
        return runs.get_run(connection, run.id)


def of_lock(project: Project, digest: str) -> Run | None:
    """Return the newest finished run that produced this pipeline lock, or None."""
    with project.database.read() as connection:
        return runs.find_run_of_lock(connection, digest)
