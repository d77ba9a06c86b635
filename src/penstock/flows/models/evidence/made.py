"""What a path of the working tree was made from: what the lock says of the stages that led to it, and what is doubtful in that.

The lock is the pipeline's word on what its outputs were made from. It is not in step where a stage's dependencies, parameters
or command changed since; then neither the commit nor today's data made them. Whether a stage's commands ever ran with
that result is known of recorded runs alone: `commit`, of DVC too, locks what lies there, and DVC's feeds the run cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from penstock.base.errors import PenstockError
from penstock.data.cache.hashing import hash_path
from penstock.data.formats.output import HashInfo, Output
from penstock.data.pointers.pointer import list_pointers
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.graph import upstream_of
from penstock.pipeline.lockfile import LockEntry, load_entries
from penstock.pipeline.making import IsSeen
from penstock.pipeline.outputs import stage_outputs
from penstock.pipeline.stage import Stage
from penstock.pipeline.status import StageStatus, stage_status
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
    pipeline = _Pipeline(project)
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


def seen_by(open_project: Callable[[], Project]) -> IsSeen:
    """Return `is_seen` of a project that is opened when first asked; a store that does not answer has seen nothing."""
    opened = cache(open_project)

    def was_seen(entry: LockEntry) -> bool:
        with suppress(PenstockError):
            return is_seen(opened(), entry)
        return False

    return was_seen


def unseen_stages(project: Project) -> tuple[str, ...]:
    """Return the stages of the pipeline whose locked result no recorded run made."""
    locked = load_entries(project.root, load_all_stages(project.data))
    with project.database.read() as connection:
        makers = list_makers(connection, [entry.digest for entry in locked.values()])
    return tuple(address for address, entry in locked.items() if entry.digest not in makers)


class _Pipeline:
    """The stages of a working tree with what is locked of them, at one look."""

    def __init__(self, project: Project) -> None:
        self.repo, self.root = project.data, project.root
        self.stages = load_all_stages(project.data)
        self.entries = load_entries(project.root, self.stages)
        self.tracked = {
            self.repo.relative(output.path): output.hash
            for pointer in list_pointers(project.data)
            for output in pointer.outputs
            if output.hash is not None
        }
        self._status: dict[str, StageStatus] = {}

    def maker_of(self, path: str) -> tuple[Stage, HashInfo] | None:
        """Return the stage that made what is at a path, and its digest."""
        place = Path(os.path.normpath(self.root / path))
        outputs = [(stage, one) for stage, one in self._outputs() if one.hash is not None]
        for stage, output in outputs:
            if place.is_relative_to(output.path) and self._is_as_locked(output):
                return stage, hash_path(self.repo, place)
        if not outputs or not place.exists():
            return None
        found = hash_path(self.repo, place)
        same = (stage for stage, one in outputs if one.hash is not None and one.hash.md5 == found.md5)
        return next(((stage, found) for stage in same), None)

    def leading_to(self, starts: Sequence[Stage]) -> list[Stage]:
        """Return stages and all that they need, in the order of their definition."""
        upstream = upstream_of(self.stages)
        reached: set[str] = set()
        pending = [stage.address for stage in starts]
        while pending:
            address = pending.pop()
            if address not in reached:
                reached.add(address)
                pending += upstream[address]
        return [stage for stage in self.stages if stage.address in reached]

    def changes_of(self, stage: Stage) -> Iterator[str]:
        """Yield what a stage's result was not made from, as it is now."""
        status = self._status_of(stage)
        if status.never_ran:
            yield f"{stage.address} (it never ran)"
            return
        yield from status.dependencies
        for file, keys in status.parameters.items():
            yield from [file] if isinstance(keys, str) else [f"{file}:{key}" for key in keys]
        if status.command_changed:
            yield f"the command of {stage.address}"

    def data_of(self, chain: Sequence[Stage]) -> dict[str, str]:
        """Return the digests of tracked data that stages recorded. What they read in part is named as they read it."""
        found = {}
        for stage in chain:
            entry = self.entries.get(stage.address)
            changed = self._status_of(stage).dependencies
            for read in entry.dependencies if entry is not None else ():
                place = stage.place(read.path)
                for path, now in self.tracked.items():
                    if path == place or (place in changed and _related(path, place)):
                        found[place] = f"md5:{read.hash.md5}"
                    elif _related(path, place):
                        found[path] = f"md5:{now.md5}"
        return dict(sorted(found.items()))

    def _status_of(self, stage: Stage) -> StageStatus:
        """Return how a stage differs from its entry, a frozen one too; what is not there counts as what others locked of it."""
        if stage.address not in self._status:
            entry = self.entries.get(stage.address)
            made = {
                self.repo.relative(one.path): one.hash.md5
                for _, one in self._outputs()
                if one.hash is not None
            }
            made |= {path: one.md5 for path, one in self.tracked.items()}
            status = stage_status(self.repo, self.root, replace(stage, is_frozen=False), entry)
            self._status[stage.address] = status.but_missing(entry, stage, made)
        return self._status[stage.address]

    def _outputs(self) -> Iterator[tuple[Stage, Output]]:
        for stage in self.stages:
            for output in stage_outputs(self.root, stage, self.entries.get(stage.address)):
                yield stage, output

    def _is_as_locked(self, output: Output) -> bool:
        try:
            return output.hash is not None and hash_path(self.repo, output.path).md5 == output.hash.md5
        except PenstockError:
            return False


def _related(path: str, read: str) -> bool:
    return path == read or path.startswith(f"{read}/") or read.startswith(f"{path}/")
