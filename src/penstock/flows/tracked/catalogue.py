"""What is tracked here now, with where it came from: the working tree's pointers and locks, and git's history of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.base.git import Git
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.flows.tracked.history import outputs_at
from penstock.flows.tracked.selection import select
from penstock.flows.tracked.timeline import Change, History, read_history


@dataclass(frozen=True)
class Tracked:
    """One tracked path: its content as the working tree's pointers have it, and what git's commits made of it.

    `source` declares it: `data/x.dvc` or `dvc.lock:STAGE`. `info` is None where it was never computed, or is tracked no more.
    `committed` is what HEAD has of it. `history` says how far the `changes` go back.
    """

    path: str
    info: HashInfo | None
    source: str
    changes: tuple[Change, ...]
    committed: HashInfo | None = None
    history: History = field(default_factory=History)

    @property
    def is_made(self) -> bool:
        """Whether a stage makes it: runs record what they begin from, so that none of them names it."""
        return not self.source.endswith(".dvc")

    @property
    def is_committed(self) -> bool:
        """Whether HEAD has the content that the working tree's pointers have."""
        return (self.committed and self.committed.md5) == (self.info and self.info.md5)

    @property
    def version_count(self) -> int:
        """How many versions are known of: the least that there are where the history is cut."""
        before = self.changes[-1].before if self.changes else self.committed
        return len(self.changes) + (before is not None)

    def may_be_older(self, change: Change) -> bool:
        """Whether a change may have been made before its commit, by another."""
        return change.commit.id in self.history.cut_at


@dataclass(frozen=True)
class Catalogue:
    """Everything tracked now or once, by path, as far as the `history` goes back."""

    tracked: Sequence[Tracked] = ()
    history: History = field(default_factory=History)


def read_catalogue(repo: DataRepository) -> Catalogue:
    """Return what is tracked.

    Raises:
        Invalid: a pointer, dvc.yaml or dvc.lock of the working tree cannot be read.
    """
    changes: dict[str, list[Change]] = {}
    history = read_history(repo)
    for one in history.changes:
        changes.setdefault(one.path, []).append(one)
    committed = {path: found[0].info for path, found in changes.items()}
    if history.cut:
        committed = {**_of_head(repo), **committed}
    now = {repo.relative(one.output.path): one.output for one in select(repo) if one.output.cached}
    found = tuple(
        Tracked(
            path,
            now[path].hash if path in now else None,
            now[path].source if path in now else changes[path][0].source,
            tuple(changes.get(path, ())),
            committed.get(path),
            history,
        )
        for path in sorted({*now, *changes})
    )
    return Catalogue(found, history)


def _of_head(repo: DataRepository) -> dict[str, HashInfo | None]:
    """Return what HEAD has at each path; what cannot be read of it is left out."""
    head = Git(repo.root).resolve("HEAD")
    return {
        repo.relative(one.path): one.hash for one in outputs_at(repo, [head], skip_failed=True) if one.cached
    }
