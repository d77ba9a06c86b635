"""The cache: objects by content at `files/md5/xx/rest`, shared with DVC.

An object is written under `<cache>/tmp`, gets mode 0444 once its bytes are known to match its name, and is
renamed into place: 0444 is what DVC takes as proof. Objects of DVC 2 (`<cache>/xx/rest`) are read, never
written. Nothing here knows workspaces.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.base.digest import digest_bytes
from penstock.base.errors import Corrupt, Denied, NotFound, PenstockError, Unavailable
from penstock.data.output import TREE_SUFFIX, HashInfo, check_md5
from penstock.data.tree import parse_tree, tree_md5

if TYPE_CHECKING:
    from penstock.data.repository import DataRepository

OBJECT_MODE = 0o444
SMALL_BYTES = 4 << 20  # read whole; larger files are streamed
PREFIXES = tuple(f"{number:02x}" for number in range(256))


class ObjectStore:
    """One cache directory, made at the first write. Safe for several processes at once."""

    def __init__(self, root: Path, shared: bool = False) -> None:
        self.root = root
        self.shared = shared
        self._files = f"{root}/files/md5"
        self._made: set[str] = set()
        self._is_mode_sure = False
        self._token, self._count = os.urandom(8).hex(), itertools.count()  # forked children differ by pid

    def path(self, md5: str) -> str:
        """Return where an object is or would be."""
        return f"{self._files}/{md5[:2]}/{md5[2:]}"

    def legacy_path(self, md5: str) -> str:
        """Return where DVC 2 kept an object."""
        return f"{self.root}/{md5[:2]}/{md5[2:]}"

    def find(self, info: HashInfo) -> str | None:
        """Return the path of an object that is there, or None."""
        path = self.path(info.md5) if info.algorithm == "md5" else self.legacy_path(info.md5)
        return path if os.path.exists(path) else None

    def has_md5(self, md5: str) -> bool:
        """Say whether there is an object of this name."""
        return os.path.exists(self.path(md5))

    def list_md5s(self, prefixes: Collection[str] = PREFIXES) -> set[str]:
        """Return the names of all objects under the given prefixes."""
        found: set[str] = set()
        for prefix in prefixes:
            with suppress(FileNotFoundError):
                found.update([prefix + name for name in os.listdir(f"{self._files}/{prefix}")])
        return found

    def missing(self, md5s: Collection[str]) -> set[str]:
        """Return those of the given names that are not there."""
        if len(md5s) < 512:
            return {md5 for md5 in md5s if not self.has_md5(md5)}
        return set(md5s) - self.list_md5s()

    def fingerprint(self) -> str:
        """Return a digest that changes whenever an object is added or removed.

        Built from the modification times of the prefix directories; it says nothing about contents.
        """
        times = []
        for prefix in PREFIXES:
            try:
                times.append(str(os.stat(f"{self._files}/{prefix}").st_mtime_ns))
            except FileNotFoundError:
                times.append("")
        return digest_bytes(",".join(times).encode(), "md5")

    @contextmanager
    def staging(self) -> Iterator[str]:
        """Yield a temporary path on the cache's file system; it is removed if it is still there."""
        path = self.staging_path()
        try:
            yield path
        except OSError as error:
            raise write_failed(error, str(self.root)) from error
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)

    def staging_path(self) -> str:
        """Return a new name under `<cache>/tmp`; the process id in it tells whose it is."""
        folder = f"{self.root}/tmp"
        if folder not in self._made:
            self._make(folder)
        return f"{folder}/{os.getpid()}-{self._token}-{next(self._count)}"

    def accept(self, temporary: str, md5: str) -> None:
        """Move a verified temporary file into place as the object `md5`, read-only. Idempotent."""
        os.chmod(temporary, OBJECT_MODE)
        self.accept_protected(temporary, md5)

    def accept_protected(self, temporary: str, md5: str) -> None:
        """Like `accept`, for a file that already has mode 0444."""
        folder = f"{self._files}/{md5[:2]}"
        if folder not in self._made:
            self._make(folder)
        os.rename(temporary, f"{folder}/{md5[2:]}")

    def put_bytes(self, data: bytes, md5: str) -> None:
        """Store bytes whose md5 the caller has just computed from them."""
        try:
            temporary = self.staging_path()
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OBJECT_MODE)
        except OSError as error:
            raise write_failed(error, str(self.root)) from error
        try:
            try:
                written = os.write(descriptor, data)
                while written < len(data):
                    written += os.write(descriptor, data[written:])
                if not self._is_mode_sure:  # what the umask and the directory's defaults make of it
                    if os.fstat(descriptor).st_mode & 0o777 == OBJECT_MODE:
                        self._is_mode_sure = True
                    else:
                        os.fchmod(descriptor, OBJECT_MODE)
            finally:
                os.close(descriptor)
            self.accept_protected(temporary, md5)
        except BaseException as error:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            if isinstance(error, OSError):
                raise write_failed(error, str(self.root)) from error
            raise

    def put_tree(self, data: bytes) -> str:
        """Store a tree's bytes and return its name."""
        md5 = tree_md5(data)
        if not self.has_md5(md5):
            self.put_bytes(data, md5)
        return md5

    def load_tree(self, info: HashInfo) -> dict[str, str]:
        """Return md5 by relpath of a tree object, after checking its bytes against its name.

        Raises:
            NotFound: it is not in the cache.
            Corrupt: its bytes do not match, or it is not a tree.
        """
        path = self.path(info.md5) if info.algorithm == "md5" else self.legacy_path(info.md5)
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            raise object_missing(info.md5) from None
        if info.algorithm == "md5" and tree_md5(data) != info.md5:
            raise corrupt_object(info.md5, path)
        return parse_tree(data, info.md5)

    def remove_stale_staging(self) -> None:
        """Remove what killed processes of this machine left under `<cache>/tmp`."""
        remove_stale(f"{self.root}/tmp")

    def _make(self, folder: str) -> None:
        before = folder
        made = []
        while self.shared and len(before) > len(str(self.root)) and not os.path.isdir(before):
            made.append(before)
            before = os.path.dirname(before)
        os.makedirs(folder, exist_ok=True)
        for path in made:
            with suppress(PermissionError):
                os.chmod(path, 0o2775)
        self._made.add(folder)


def remove_stale(folder: str) -> None:
    """Remove files named `<pid>-…` in a staging directory whose process is gone."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        pid = name.partition("-")[0]
        if pid.isdigit() and not _is_running(pid):
            with suppress(OSError):
                path = f"{folder}/{name}"
                if stat.S_ISDIR(os.lstat(path).st_mode):
                    import shutil

                    shutil.rmtree(path)
                else:
                    os.unlink(path)


def _is_running(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except (OSError, IndexError):
        return False


def write_failed(error: OSError, place: str) -> PenstockError:
    """Make the error for a place that cannot be written: full, read-only or not ours."""
    why = error.strerror or str(error)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Denied(
            f"{error.filename or place} cannot be written: {why}",
            code="data.denied",
            hint=f"ls -ld {place}",
            path=place,
        )
    return Unavailable(
        f"writing to {place} failed: {why}",
        code="data.write_failed",
        hint=f"df -h {place}; make room, then run the same command again",
        path=place,
    )


def object_missing(md5: str) -> NotFound:
    """Make the error for an object that is not in the cache."""
    return NotFound(
        f"object {md5} is not in the cache", code="data.object_missing", hint="penstock fetch", md5=md5
    )


def corrupt_object(md5: str, path: str) -> Corrupt:
    """Make the error for an object whose bytes do not match its name."""
    return Corrupt(
        f"object {md5} is damaged: its bytes do not match its name ({path})",
        code="data.object_corrupt",
        hint="penstock repair",
        md5=md5,
        path=path,
    )


def has(repo: DataRepository, info: HashInfo) -> bool:
    """Say whether everything that `info` names is in the cache: the object and, for a tree, all its files.

    A tree that was once seen complete is not looked through again while no object was added or removed.
    """
    check_md5(info.md5, "hash")
    cache = repo.cache
    if cache.find(info) is None:
        return False
    if not info.md5.endswith(TREE_SUFFIX):
        return True
    if info.algorithm != "md5":
        return all(os.path.exists(cache.legacy_path(md5)) for md5 in cache.load_tree(info).values())
    fingerprint = cache.fingerprint()
    if repo.state.find_complete(info.md5) == fingerprint:
        return True
    try:
        complete = not cache.missing(set(cache.load_tree(info).values()))
    except Corrupt:
        return False
    if complete and fingerprint == cache.fingerprint():
        repo.state.save_complete(info.md5, fingerprint)
    return complete
