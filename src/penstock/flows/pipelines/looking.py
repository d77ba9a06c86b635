"""Look at the pipeline before anything is done: what would be, and where nothing would, the run that made it.

Mostly there is nothing to do. What recording a run takes (`execution`) is not imported for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from penstock.base.files import HeldLock
from penstock.data.lock import repository_lock
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import lock_digest
from penstock.pipeline.runner import reproduce
from penstock.pipeline.running.reproducing import IDLE, ReproduceOptions, StageResult, Watcher
from penstock.pipeline.running.survivors import end_survivors
from penstock.pipeline.stage import Stage
from penstock.project.project import Project
from penstock.tracking.known import find_known

WAIT_FOR_LOCK_S = 3.0


@dataclass(frozen=True)
class Look:
    """The pipeline while the repository is locked: its stages, and what would be done with those that are meant."""

    lock: HeldLock
    stages: tuple[Stage, ...]
    planned: tuple[StageResult, ...]

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be done."""
        return all(item.action in IDLE for item in self.planned)


class Silent:
    """A watcher that says nothing."""

    def started(self, stage: Stage, reasons: object) -> None:
        """Say nothing."""

    def printed(self, stage: Stage, line: str) -> None:
        """Say nothing."""

    def retried(self, stage: Stage, why: str, left: int) -> None:
        """Say nothing."""

    def finished(self, result: StageResult) -> None:
        """Say nothing."""


SILENT = Silent()


@contextmanager
def looked(project: Project, options: ReproduceOptions) -> Iterator[Look]:
    """Lock the repository for the block and yield what would be done; nothing is.

    Raises:
        NotFound, Invalid: as `pipeline.runner.reproduce`.
        Conflict: another command holds the repository.
    """
    stages = load_all_stages(project.data)
    with repository_lock(project.data, wait_s=WAIT_FOR_LOCK_S) as lock:
        planned = reproduce(project.data, stages, replace(options, dry=True), SILENT)
        yield Look(lock, stages, tuple(planned))


def find_recorded(project: Project, look: Look, watcher: Watcher) -> str | None:
    """Return the id of the run whose result the pipeline is, None where something would be done or none is known here.

    What outlived a killed command is ended, and the watcher is told what is up to date. None is also the answer where
    the store is a server's, or its schema another version's: `execution` knows then.

    Raises:
        Conflict: what outlived a killed command cannot be ended.
    """
    if not look.is_idle or project.places.store_file is None:
        return None
    end_survivors(project.root)
    digest = lock_digest(project.data)
    known = find_known(project.places.store_file, digest) if digest is not None else None
    if known is not None:
        for item in look.planned:
            watcher.finished(item)
    return known
