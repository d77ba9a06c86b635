"""The pipelines of a working tree with what their locks say, against the files here and what the commit's pointers name.

A lock is in step with a dependency where all three are one: what the stage read, what is here, and what a pointer or
another stage's lock entry names. `git pull` moves the last alone, and leaves the files here as they were.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from penstock.base.errors import PenstockError
from penstock.data.cache.hashing import hash_path
from penstock.data.cache.legacy import holds_legacy
from penstock.data.formats.output import HashInfo, Output
from penstock.data.pointers.pointer import list_pointers
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.graph import upstream_of
from penstock.pipeline.lockfile import load_entries
from penstock.pipeline.outputs import stage_outputs
from penstock.pipeline.stage import Stage
from penstock.pipeline.status import StageStatus, stage_status
from penstock.project.project import Project


class LockedPipeline:
    """The stages of a working tree with what is locked of them, at one look: nothing is read twice."""

    def __init__(self, project: Project) -> None:
        self.repo, self.root = project.data, project.root
        self.stages = load_all_stages(project.data)
        self.entries = load_entries(project.root, self.stages)
        self._status: dict[str, StageStatus] = {}
        self._as_named: dict[str, bool] = {}

    def maker_of(self, path: str) -> tuple[Stage, HashInfo] | None:
        """Return the stage that made what is at a path, and its digest."""
        place = Path(os.path.normpath(self.root / path))
        for stage, output in self._outputs:
            if place.is_relative_to(output.path) and self._is_as_named(output):
                return stage, hash_path(self.repo, place)
        if not self._outputs or not place.exists():
            return None
        found = hash_path(self.repo, place)
        same = (stage for stage, one in self._outputs if one.hash is not None and one.hash.md5 == found.md5)
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
        """Yield what a stage's result was not made from, as it is now, here or in the commit."""
        status = self._status_of(stage)
        if status.never_ran:
            yield f"{stage.address} (it never ran)"
            return
        yield from status.dependencies
        for place, others in self._moved(stage).items():
            yield f"{place} ({', '.join(others)} {'has' if len(others) == 1 else 'have'} another content: penstock checkout)"
        for file, keys in status.parameters.items():
            yield from [file] if isinstance(keys, str) else [f"{file}:{key}" for key in keys]
        if status.command_changed:
            yield f"the command of {stage.address}"

    def data_of(self, chain: Sequence[Stage]) -> dict[str, str]:
        """Return the digests of tracked data that stages recorded.

        What they read a part of, or several of, is named as it is tracked where that is what they read; else as they read it.
        """
        found = {}
        for stage in chain:
            entry = self.entries.get(stage.address)
            changed = {*self._status_of(stage).dependencies, *self._moved(stage)}
            for read in entry.dependencies if entry is not None else ():
                place = stage.place(read.path)
                for path in self._near(place):
                    output = self._named[path]
                    if path not in self._pointed or output.hash is None:
                        continue
                    if path == place or place in changed:
                        found[place] = f"md5:{read.hash.md5}"
                    else:
                        found[path] = f"md5:{output.hash.md5}"
        return dict(sorted(found.items()))

    def _status_of(self, stage: Stage) -> StageStatus:
        """Return how a stage differs from its entry, a frozen one too.

        A dependency that is not here counts as what its own pointer or stage says; where none does, nobody knows.
        """
        if stage.address not in self._status:
            entry = self.entries.get(stage.address)
            status = stage_status(self.repo, self.root, replace(stage, is_frozen=False), entry)
            dependencies = {
                path: change
                for path, change in status.dependencies.items()
                if change != "deleted" or not self._is_recorded(stage, path)
            }
            self._status[stage.address] = replace(status, dependencies=dependencies)
        return self._status[stage.address]

    def _is_recorded(self, stage: Stage, place: str) -> bool:
        """Say whether a pointer or a stage names at a place exactly what another stage read there."""
        entry, output = self.entries.get(stage.address), self._named.get(place)
        if entry is None or output is None or output.hash is None:
            return False
        return any(
            stage.place(read.path) == place and read.hash.md5 == output.hash.md5
            for read in entry.dependencies
        )

    def _moved(self, stage: Stage) -> dict[str, list[str]]:
        """Return which dependencies are here as the stage read them, but otherwise in the commit; with what says so there."""
        entry, changed = self.entries.get(stage.address), self._status_of(stage).dependencies
        places = [stage.place(read.path) for read in entry.dependencies] if entry is not None else []
        found = {}
        for place in places:
            if place in changed or not (self.root / place).exists():
                continue
            near = [self._named[path] for path in self._near(place)]
            others = [one.source for one in near if not self._is_as_named(one)]
            if others:
                found[place] = others
        return found

    @cached_property
    def _outputs(self) -> list[tuple[Stage, Output]]:
        return [
            (stage, output)
            for stage in self.stages
            for output in stage_outputs(self.root, stage, self.entries.get(stage.address))
            if output.hash is not None
        ]

    @cached_property
    def _pointed(self) -> dict[str, Output]:
        """What pointers track, by path."""
        return {
            self.repo.relative(output.path): output
            for pointer in list_pointers(self.repo)
            for output in pointer.outputs
            if output.hash is not None
        }

    @cached_property
    def _named(self) -> dict[str, Output]:
        """What pointers and locks name, by path."""
        return {self.repo.relative(one.path): one for _, one in self._outputs} | self._pointed

    @cached_property
    def _paths(self) -> list[str]:
        return sorted(self._named)

    def _near(self, place: str) -> list[str]:
        """Return the named paths that are a place, lie below it or hold it."""
        above = [path for one in PurePosixPath(place).parents if (path := str(one)) in self._named]
        here = [place] if place in self._named else []
        first, end = (
            bisect_left(self._paths, f"{place}/"),
            bisect_left(self._paths, f"{place}0"),
        )  # "0" follows "/"
        return [*above, *here, *self._paths[first:end]]

    def _is_as_named(self, output: Output) -> bool:
        """Say whether what is here is what a pointer or a lock names."""
        path = self.repo.relative(output.path)
        if path not in self._as_named:
            self._as_named[path] = output.hash is not None and self._holds(output.path, output.hash)
        return self._as_named[path]

    def _holds(self, path: Path, named: HashInfo) -> bool:
        try:
            return hash_path(self.repo, path).md5 == named.md5 or holds_legacy(self.repo, path, named)
        except PenstockError:
            return False
