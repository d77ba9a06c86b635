"""What the working tree tracks, and what git's commits made of it: read once, and asked by path or by content.

What cannot be read is told in `problem`; the store's word on the past holds without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from penstock.base.errors import NotARepository, PenstockError
from penstock.base.git import Git
from penstock.data.repository import DataRepository
from penstock.flows.tracked.selection import Chosen, select
from penstock.flows.tracked.timeline import Change, History, read_history
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.graph import upstream_of
from penstock.pipeline.lockfile import LockEntry, load_entries, parse_lock
from penstock.pipeline.stage import Stage
from penstock.project.project import Project


@dataclass(frozen=True)
class Tree:
    """What is tracked now by path, and what commits changed of it, the newest first. Without a repository all is empty."""

    repo: DataRepository | None
    problem: str = ""
    now: Mapping[str, Chosen] = field(default_factory=dict)
    changes: Mapping[str, Sequence[Change]] = field(default_factory=dict)
    history: History = field(default_factory=History)

    def md5_now(self, path: str) -> str | None:
        """Return what the pointer or lock says that a path holds; None where nothing is tracked there or it never ran."""
        info = self.now[path].output.hash if path in self.now else None
        return info.md5 if info is not None else None

    def knows(self, path: str) -> bool:
        """Say whether a path, or a directory that it lies in, is tracked or made by a stage now."""
        return any(place in self.now for place in (path, *(one.as_posix() for one in Path(path).parents)))

    def paths_now(self, md5: str) -> list[str]:
        """Return the paths that hold some content now."""
        return [path for path in self.now if self.md5_now(path) == md5]

    def last_of(self, path: str, md5: str) -> Change | None:
        """Return the newest commit that gave a path some content."""
        return next((one for one in self.changes.get(path, ()) if one.info and one.info.md5 == md5), None)

    def paths_then(self, md5: str) -> list[str]:
        """Return the paths that some commit gave some content."""
        return [path for path in self.changes if self.last_of(path, md5) is not None]

    def known_contents(self) -> Iterator[tuple[str, str]]:
        """Yield path and md5 of all that is tracked now, then of all that commits tracked."""
        for path in self.now:
            md5 = self.md5_now(path)
            if md5 is not None:
                yield path, md5
        for path, changes in self.changes.items():
            for one in changes:
                if one.info is not None:
                    yield path, one.info.md5

    def stage_of(self, path: str) -> Stage | None:
        """Return the stage that makes a path now."""
        return next((one for one in self._stages if path in one.makes), None)

    def entry_of(self, stage: Stage) -> LockEntry | None:
        """Return what is locked of a stage now."""
        return load_entries(self.repo.root, [stage]).get(stage.address) if self.repo is not None else None

    def entry_at(self, change: Change) -> LockEntry | None:
        """Return what a commit that changed an output locked of its stage; None where that cannot be read."""
        lock, _, stage = change.source.rpartition(":")
        if self.repo is None or not lock:
            return None
        try:
            text = Git(self.repo.root).show(change.commit.id, f"./{lock}").decode()
            return parse_lock(text, lock).get(stage)
        except (PenstockError, UnicodeDecodeError):
            return None

    def leads_to(self, stage: Stage, path: str) -> bool:
        """Say whether a path is made by a stage, or by one that needs what it makes."""
        maker = next((one for one in self._stages if any(_is_in(path, made) for made in one.makes)), None)
        pending, reached = [maker.address] if maker is not None else [], set[str]()
        while pending:
            address = pending.pop()
            if address not in reached:
                reached.add(address)
                pending += self._upstream[address]
        return stage.address in reached

    @cached_property
    def _stages(self) -> Sequence[Stage]:
        return load_all_stages(self.repo) if self.repo is not None and not self.problem else []

    @cached_property
    def _upstream(self) -> dict[str, tuple[str, ...]]:
        return upstream_of(self._stages)


@contextmanager
def open_tree(project: Project) -> Iterator[Tree]:
    """Read what is tracked now: a server's own repository would know only what was there before."""
    try:
        repo = DataRepository.open(project.root, cache_dir=project.places.cache_dir)
    except NotARepository:
        yield Tree(None, "there is no repository here")
        return
    except PenstockError as error:
        yield Tree(None, error.message)
        return
    try:
        yield _read(repo)
    finally:
        repo.close()


def _read(repo: DataRepository) -> Tree:
    changes: dict[str, list[Change]] = {}
    history = History()
    try:
        history = read_history(repo)
        for one in history.changes:
            changes.setdefault(one.path, []).append(one)
        now = {repo.relative(one.output.path): one for one in select(repo)}
    except PenstockError as error:
        return Tree(repo, error.message, {}, changes, history)
    return Tree(repo, "", now, changes, history)


def _is_in(path: str, outer: str) -> bool:
    return path == outer or path.startswith(f"{outer}/")
