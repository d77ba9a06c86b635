"""The repository lock, shared with DVC: a flock on `.dvc/tmp/lock`.

Source: dvc/lock.py; zc.lockfile writes a blank, the pid and a newline and leaves the file behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.base.files import HeldLock, locked
from penstock.data.repository import DataRepository

WAIT_S = 30.0


@contextmanager
def repository_lock(repo: DataRepository, wait_s: float = WAIT_S) -> Iterator[HeldLock]:
    """Keep every other writer (DVC's and ours) out of the repository for the block.

    What takes long and needs no more than some paths lends the lock to others (`HeldLock.lent`) and says which
    paths (`penstock.data.rwlock`).

    Raises:
        Conflict: it stayed locked for `wait_s` seconds.
    """
    with locked(
        repo.dvc_dir / "tmp" / "lock",
        wait_s=wait_s,
        holder_hint="wait until the other dvc or penstock command ends, then run this one again",
    ) as held:
        yield held
