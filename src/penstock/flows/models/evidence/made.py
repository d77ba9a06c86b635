"""What a path of the working tree was made from: what the lock says of the stages that led to it, and what is doubtful in that.

The lock is the pipeline's word on what its outputs were made from. It is not in step where a stage's dependencies, parameters
or command changed since; then neither the commit nor today's data made them. Whether a stage's commands ever ran with
that result is known of recorded runs alone: `commit`, of DVC too, locks what lies there, and DVC's feeds the run cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.base.errors import NotARepository, PenstockError
from penstock.flows.models.evidence.locked import LockedPipeline
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import LockEntry, load_entries
from penstock.pipeline.making import IsSeen
from penstock.project.project import Project
from penstock.tracking.runs import list_makers


@dataclass(frozen=True)
class Made:
    """What made a path.

    Args:
        output: the path's md5, which is what the lock says of it.
        data: the digests (`md5:…`) of the tracked data that the stages recorded, by path.
        stale: what differs now from what the lock says.
        unseen: the stages whose locked result no recorded run made.
        run_id: the newest run that made the path, where one is recorded.
    """

    output: str
    data: Mapping[str, str]
    stale: tuple[str, ...]
    unseen: tuple[str, ...]
    run_id: str | None


def made_from(project: Project, path: str, *measured: str | None) -> Made | None:
    """Return what a path of the working tree was made from, None where no stage made what is there.

    A path outside of all outputs counts as one that has exactly its bytes.

    Args:
        measured: other paths that are told of it, such as its metrics: their stages count too.
    """
    pipeline = LockedPipeline(project)
    found = pipeline.maker_of(path)
    if found is None:
        return None
    maker, output = found
    others = [pipeline.maker_of(one) for one in measured if one is not None]
    chain = pipeline.leading_to([maker, *(one[0] for one in others if one is not None)])
    entries = {stage.address: pipeline.entries.get(stage.address) for stage in chain}
    digests = {address: entry.digest for address, entry in entries.items() if entry is not None}
    with project.database.read() as connection:
        makers = list_makers(connection, list(digests.values()))
    return Made(
        output=output.md5,
        data=pipeline.data_of(chain),
        stale=tuple(dict.fromkeys(name for stage in chain for name in pipeline.changes_of(stage))),
        unseen=tuple(address for address, digest in digests.items() if digest not in makers),
        run_id=makers.get(digests.get(maker.address, "")),
    )


def is_seen(project: Project, entry: LockEntry) -> bool:
    """Say whether a recorded run ran a stage with exactly this result."""
    with project.database.read() as connection:
        return bool(list_makers(connection, [entry.digest]))


def seen_by(open_project: Callable[[], Project], tell: Callable[[PenstockError], None]) -> IsSeen:
    """Return `is_seen` of a project that is opened when first asked; a store that does not answer has seen nothing.

    Such a store is asked once, and `tell` hears why; where there is no project nobody could have seen anything.
    """
    opened: Project | None = None
    is_away = False

    def was_seen(entry: LockEntry) -> bool:
        nonlocal opened, is_away
        if is_away:
            return False
        try:
            opened = opened or open_project()
            return is_seen(opened, entry)
        except PenstockError as error:
            is_away = True
            if not isinstance(error, NotARepository):
                tell(error)
            return False

    return was_seen


def unseen_stages(project: Project) -> tuple[str, ...]:
    """Return the stages of the pipeline whose locked result no recorded run made."""
    locked = load_entries(project.root, load_all_stages(project.data))
    with project.database.read() as connection:
        makers = list_makers(connection, [entry.digest for entry in locked.values()])
    return tuple(address for address, entry in locked.items() if entry.digest not in makers)
