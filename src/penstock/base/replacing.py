"""A file or directory that is built beside its place and appears there in one step, whatever was there before.

A rename cannot replace a directory that holds something. Where the system can, the two change their names in one
step (renameat2(2), `RENAME_EXCHANGE`); elsewhere the old one is put aside under a known name first, and comes
back at the next call when the process was killed between the two steps. For files alone, see `penstock.base.files`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.base.errors import Conflict
from penstock.base.files import remove_path

RENAME_EXCHANGE = 2  # linux/fs.h
AT_FDCWD = -100
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@contextmanager
def appearing(target: Path, *, force: bool) -> Iterator[Path]:
    """Yield a path beside `target` to build it at; it takes `target`'s place when the block succeeds.

    When the block raises, what was built is removed and `target` is as it was.

    Raises:
        Conflict: something is at the target, and `force` was not given.
    """
    _recover(target)
    if os.path.lexists(target) and not force:
        raise Conflict(f"{target} exists already", code="data.exists", hint="--force replaces it")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{os.urandom(11).hex()}.tmp"
    try:
        yield temporary
        _replace(temporary, target)
    finally:
        remove_path(temporary)


def _replace(new: Path, target: Path) -> None:
    """Give `target` what is at `new`; what was there is at `new` then, or gone."""
    if not any(path.is_dir() and not path.is_symlink() for path in (new, target)):
        new.replace(target)
    elif not os.path.lexists(target):
        new.rename(target)
    elif not _exchange(new, target):
        aside = _aside(target)
        target.rename(aside)
        try:
            new.rename(target)
        except OSError:
            aside.rename(target)
            raise
        remove_path(aside)


def _aside(target: Path) -> Path:
    return target.parent / f".{target.name}.replaced"


def _recover(target: Path) -> None:
    """Bring back what was put aside, or remove it where its successor has arrived."""
    aside = _aside(target)
    if not os.path.lexists(aside):
        return
    if os.path.lexists(target):
        remove_path(aside)
    else:
        aside.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange what two names mean in one step; False where the system or the file system cannot."""
    rename = getattr(_LIBC, "renameat2", None)
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}:
        return False
    raise OSError(code, os.strerror(code), str(other))
