"""Batches on disk until they are delivered: written before anything else is tried, removed after it succeeded.

A process has a folder of its own under a lock. What one that ended left behind the next one takes over. A batch
may be delivered twice, after a kill between delivery and removal; its id tells.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from penstock.base.digest import digest_bytes

LOCK, ENDING, REFUSED, RESERVE = "lock", ".batch", "refused", "reserve"
MAX_BYTES = 512 * 1024 * 1024
"""What may wait of one process, on disk."""
REFUSED_MAX = 100
"""Refused batches that are kept to look at."""
MEMORY_BYTES = 32 * 1024 * 1024
"""What may wait in memory where nothing can be written."""


class Waiting(NamedTuple):
    """A batch that waits; the name says when it was made, of which endpoint, and its id."""

    name: str
    path: Path | None
    data: bytes | None

    @property
    def endpoint(self) -> str:
        """The endpoint it is of."""
        return self.name.split("~")[1]

    @property
    def time_ms(self) -> int:
        """When it was made."""
        return int(self.name.split("~")[0])

    def read(self) -> bytes:
        """Return its bytes."""
        if self.data is not None:
            return self.data
        return self.path.read_bytes() if self.path else b""


class Spool:
    """The batches of one process. Used by one thread that puts and one that takes.

    Args:
        home: where the folder is made; where nothing can be written there, one for temporary files that is bound to it.
        kind: the folder's name: batches of other kinds are other processes' to deliver.
        reserve_bytes: room on disk that is kept free for `release`.
    """

    def __init__(self, home: Path, kind: str, *, max_bytes: int = MAX_BYTES, reserve_bytes: int = 0) -> None:
        self.instance = secrets.token_hex(8)
        self._max_bytes = max_bytes
        self._count = 0
        self._memory: dict[str, bytes] = {}
        self._lock_file: int | None = None
        self.folder: Path | None = None
        self._reserve_bytes = reserve_bytes
        self.noted: object = ()
        """What was written down of it last, beside its batches."""
        self._home, self._elsewhere = _parents(home, kind)
        self._open()

    def _open(self) -> None:
        """Make the folder, at home or elsewhere; where neither has room for the reserve, without one."""
        for reserve_bytes in sorted({self._reserve_bytes, 0}, reverse=True):
            for parent in (self._home, self._elsewhere):
                with suppress(OSError):
                    self.folder = self._make(parent, reserve_bytes)
                    return

    def _make(self, parent: Path, reserve_bytes: int) -> Path:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if parent == self._elsewhere and not _is_own(parent):
            raise PermissionError(f"others may write to {parent}")
        new = parent / f".{self.instance}"
        new.mkdir(mode=0o700)
        try:
            # under the lock before it has its name, so that nobody takes it for one that was left
            self._lock_file = os.open(new / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if reserve_bytes:
                (new / RESERVE).write_bytes(bytes(reserve_bytes))
            return new.rename(parent / self.instance)
        except OSError:
            self.after_fork()
            shutil.rmtree(new, ignore_errors=True)
            raise

    def next_id(self) -> str:
        """Return the id of the next batch; no other batch has it."""
        self._count += 1
        return f"{self.instance}-{self._count}"

    def put(self, endpoint: str, batch_id: str, time_ms: int, data: bytes) -> bool:
        """Keep a batch; False where there is no room for it."""
        name = f"{time_ms:013d}~{endpoint}~{batch_id}{ENDING}"
        if self._write(name, batch_id, data):
            return True
        if sum(map(len, self._memory.values())) + len(data) <= MEMORY_BYTES:
            self._memory[name] = data
            return True
        return False

    def keep(self, endpoint: str, batch_id: str, time_ms: int, data: bytes) -> bool:
        """Keep a batch on disk, as a process that ends must; False where there is no room for it."""
        name = f"{time_ms:013d}~{endpoint}~{batch_id}{ENDING}"
        return self._write(name, batch_id, data)

    def release(self) -> None:
        """Give the reserved room free, for what is small and must be kept on a disk that is full."""
        if self.folder is not None:
            with suppress(OSError):
                (self.folder / RESERVE).unlink(missing_ok=True)

    def _write(self, name: str, batch_id: str, data: bytes) -> bool:
        if self.folder is not None and not self.folder.is_dir():  # somebody removed it
            self.after_fork()
            self.folder = None
            self._open()
        if self.folder is None or self.used_bytes + len(data) > self._max_bytes:
            return False
        temporary = self.folder / f".{batch_id}"
        try:
            temporary.write_bytes(data)
            temporary.rename(self.folder / name)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            return False
        return True

    @property
    def used_bytes(self) -> int:
        """How much waits."""
        sizes = sum(map(len, list(self._memory.values())))
        if self.folder is not None:
            with suppress(OSError), os.scandir(self.folder) as entries:
                sizes += sum(one.stat().st_size for one in entries if one.name.endswith(ENDING))
        return sizes

    def list(self) -> list[Waiting]:
        """Return what waits, the oldest first."""
        found = [Waiting(name, None, data) for name, data in list(self._memory.items())]
        if self.folder is not None:
            with suppress(OSError):
                found += [Waiting(path.name, path, None) for path in self.folder.glob(f"[0-9]*{ENDING}")]
        return sorted(found)

    def remove(self, one: Waiting) -> None:
        """Let go of a batch."""
        self._memory.pop(one.name, None)
        if one.path is not None:
            one.path.unlink(missing_ok=True)

    def refuse(self, one: Waiting) -> None:
        """Put a batch aside that nobody will take; of many only the first are kept."""
        if not self.put_aside(one, REFUSED_MAX):
            self.remove(one)

    def put_aside(self, one: Waiting, most: int | None = None) -> Path | None:
        """Put a batch aside to be looked at, and return where; None where it stays, since that cannot be done.

        Args:
            most: how many may be there before.
        """
        if one.path is None or self.folder is None:
            return None
        aside = self.folder.parent / REFUSED
        with suppress(OSError):
            aside.mkdir(exist_ok=True)
            if most is None or len(list(aside.iterdir())) < most:
                return one.path.rename(aside / one.name)
        return None

    def adopt(self) -> None:
        """Take over what processes left that have ended, at home and elsewhere."""
        for parent in (self._home, self._elsewhere):
            if parent == self._home or _is_own(parent):
                with suppress(OSError):
                    for other in list(parent.iterdir()):
                        self._adopt(other)

    def _adopt(self, other: Path) -> None:
        if self.folder in (None, other) or other.name == REFUSED or not (other / LOCK).is_file():
            return
        with suppress(OSError):
            lock = os.open(other / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for path in other.glob(f"[0-9]*{ENDING}"):
                    _move(path, self.folder)
                shutil.rmtree(other)
            finally:
                os.close(lock)

    def after_fork(self) -> None:
        """In a child: leave the parent's folder to the parent."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def close(self) -> None:
        """Remove the folder if nothing is in it, else leave it to the next process."""
        if self.folder is not None and not self.list():
            shutil.rmtree(self.folder, ignore_errors=True)
        self.after_fork()


class Folder(NamedTuple):
    """The folder of one process, its batches, and whether that process lives."""

    path: Path
    waiting: list[Waiting]
    is_held: bool


def list_folders(home: Path, kind: str) -> list[Folder]:
    """Return what processes have on disk, at home and elsewhere, those that ended too. Takes nothing over."""
    found = []
    for parent, is_ours in zip(_parents(home, kind), (True, False), strict=True):
        if is_ours or _is_own(parent):
            with suppress(OSError):
                for path in sorted(parent.iterdir()):
                    if not path.name.startswith(".") and (path / LOCK).is_file():
                        waiting = [Waiting(one.name, one, None) for one in path.glob(f"[0-9]*{ENDING}")]
                        found.append(Folder(path, sorted(waiting), _is_held(path / LOCK)))
    return found


def _parents(home: Path, kind: str) -> tuple[Path, Path]:
    """Return where folders are made, at home and elsewhere.

    That elsewhere is bound to its home: nobody else's batches may reach its place, nor its own another.
    """
    bound = digest_bytes(os.fsencode(home.absolute()))[:16]
    return home / kind, Path(tempfile.gettempdir()) / f"penstock-{kind}-{os.getuid()}-{bound}"


def _is_held(lock: Path) -> bool:
    """Whether a process holds a lock; the lock is had for a moment to find out, shared, so that lookers meet."""
    try:
        opened = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(opened)
    return False


def is_past(one: Waiting, days: float) -> bool:
    """Whether a batch waited longer than that."""
    return time.time() * 1000 - one.time_ms > days * 86_400_000


def _is_own(folder: Path) -> bool:
    """Whether a folder is there that nobody else can write to, in a place where everybody makes folders."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _move(path: Path, folder: Path) -> None:
    """Move a batch, also to another file system; after a kill in between it may be there twice."""
    try:
        path.rename(folder / path.name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = folder / f".{path.name}"
        shutil.copyfile(path, part)
        part.rename(folder / path.name)
        path.unlink()
