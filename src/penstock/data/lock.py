"""The repository lock, shared with DVC: a flock on `.dvc/tmp/lock`.

Source: dvc/lock.py; zc.lockfile writes a blank, the pid and a newline and leaves the file behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.base.files import locked
from penstock.data.repository import DataRepository

WAIT_S = 30.0


@contextmanager
def repository_lock(repo: DataRepository, wait_s: float = WAIT_S) -> Iterator[None]:
    """Keep every other writer (DVC's and ours) out of the repository for the block.

    Raises:
        Conflict: it stayed locked for `wait_s` seconds.
    """
    with locked(
        repo.dvc_dir / "tmp" / "lock",
        wait_s=wait_s,
        holder_hint="wait until the other dvc or penstock command ends, then run this one again",
    ):
        yield
