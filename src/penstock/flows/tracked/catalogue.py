"""What is tracked here now, with where it came from: the working tree's pointers and locks, and git's history of them."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.flows.tracked.selection import select
from penstock.flows.tracked.timeline import Change, list_changes


@dataclass(frozen=True)
class Tracked:
    """One tracked path: its content as the working tree's pointers have it, and what git's commits made of it.

    `source` declares it: `data/x.dvc` or `dvc.lock:STAGE`. `info` is None where it was never computed, or is tracked no more.
    """

    path: str
    info: HashInfo | None
    source: str
    changes: tuple[Change, ...]

    @property
    def is_made(self) -> bool:
        """Whether a stage makes it: runs record what they begin from, so that none of them names it."""
        return not self.source.endswith(".dvc")

    @property
    def is_committed(self) -> bool:
        """Whether the newest commit has the content that the working tree's pointers have."""
        newest = self.changes[0].info if self.changes else None
        return (newest and newest.md5) == (self.info and self.info.md5)


def list_tracked(repo: DataRepository) -> list[Tracked]:
    """Return everything tracked now or once, by path.

    Raises:
        Invalid: a pointer, dvc.yaml or dvc.lock of the working tree cannot be read.
    """
    changes: dict[str, list[Change]] = {}
    for one in list_changes(repo):
        changes.setdefault(one.path, []).append(one)
    now = {repo.relative(one.output.path): one.output for one in select(repo) if one.output.cached}
    return [
        Tracked(
            path,
            now[path].hash if path in now else None,
            now[path].source if path in now else changes[path][0].source,
            tuple(changes.get(path, ())),
        )
        for path in sorted({*now, *changes})
    ]
