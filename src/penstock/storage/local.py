"""LocalBackend: objects as files below a directory.

Files are written under `.penstock-tmp` in the same directory, checked, made read-only (0444, the mode that
DVC takes as "verified") and renamed into place, so a killed writer leaves nothing among the objects.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from penstock.base.errors import Denied, PenstockError, Unavailable, disk_full, is_disk_full
from penstock.base.staging import new_token, remove_stale
from penstock.storage.backend import Child, Entry, Writer, check_key, exactly, in_the_way, missing, unmade
from penstock.storage.local_writer import LocalWriter, sweep

STAGING = ".penstock-tmp"
OBJECT_MODE = 0o444
FIRST_BYTES = 64 << 10
READ_BYTES = 1 << 20


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_UMASK_HIDES = bool(_umask() & OBJECT_MODE)


class LocalBackend:
    """A `Backend` over one directory, made at the first write. Safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)
        self.jobs = 1  # small files are bound by system calls: threads only fight over the interpreter lock
        self.can_list = True
        self._made: set[str] = set()
        self._is_swept = False
        self._token, self._count = new_token(), itertools.count()  # forked children differ by pid

    def _path(self, key: str) -> str:
        return f"{self.root}/{check_key(key)}"

    def get(self, key: str) -> bytes:
        """Return all bytes at `key`."""
        with self._reading(key), Path(self._path(key)).open("rb") as file:
            return file.read()

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes from offset `start`."""
        with self._reading(key), Path(self._path(key)).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def put(self, key: str, data: bytes) -> None:
        """Store `data` at `key`."""

        def write(temporary: str) -> None:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OBJECT_MODE)
            try:
                written = os.write(descriptor, data)
                while written < len(data):
                    written += os.write(descriptor, data[written:])
                if _UMASK_HIDES:
                    os.fchmod(descriptor, OBJECT_MODE)
            finally:
                os.close(descriptor)

        self._store(key, write)

    def upload(self, key: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        """Store the bytes of `blocks` at `key`."""

        def write(temporary: str) -> None:
            with open(temporary, "xb", buffering=0) as out:
                for block in exactly(blocks, size_bytes):
                    rest = memoryview(block)
                    while rest:
                        rest = rest[out.write(rest) :]
                os.fchmod(out.fileno(), OBJECT_MODE)

        self._store(key, write)

    def copy(self, source: str, target: str) -> None:
        """Store at `target` what is at `source`: one file of two names, as objects are never written again."""

        names: list[str] = []

        def write(temporary: str) -> None:
            names.append(temporary)
            try:
                os.link(self._path(source), temporary, follow_symlinks=False)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR):
                    if os.path.lexists(self._path(source)) and not os.path.isdir(f"{self.root}/{STAGING}"):
                        raise
                    raise missing(self.url, source) from None
                shutil.copyfile(self._path(source), temporary)
                os.chmod(temporary, OBJECT_MODE)

        self._store(target, write)
        with suppress(FileNotFoundError):
            os.unlink(names[0])  # one name of a file is not renamed over another one of it

    def writer(self, key: str, size_bytes: int | None = None) -> Writer:
        """Open an object for writing; the first one clears away what killed writers left."""
        path = self._path(key)
        with self._reading(key):
            self._prepare(path, key, again=True)
            if not self._is_swept:
                self._is_swept = True
                sweep(f"{self.root}/{STAGING}")
            return LocalWriter(
                self._temporary(),
                size_bytes,
                place=lambda temporary: self._place(path, key, temporary),
                translate=lambda error: self._translate(error, key),
            )

    def _temporary(self) -> str:
        return f"{self.root}/{STAGING}/{os.getpid()}-{self._token}-{next(self._count)}"

    def _prepare(self, path: str, key: str, *, again: bool = False) -> None:
        parent = path.rpartition("/")[0]
        if again or parent not in self._made:
            if not os.path.isdir(self.root):
                self._make_root()
            try:
                os.makedirs(parent, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise in_the_way(self.url, key) from None
            os.makedirs(f"{self.root}/{STAGING}", exist_ok=True)
            if not self._made:
                remove_stale(f"{self.root}/{STAGING}")
            self._made.add(parent)

    def _make_root(self) -> None:
        try:
            os.makedirs(self.root, exist_ok=True)
        except PermissionError as error:
            raise Denied(
                f"the directory {self.root} cannot be made: {error.strerror}",
                code="storage.denied",
                hint=f"ls -ld {self.root.parent}",
            ) from error
        except OSError as error:
            raise unmade(self.url, error.strerror or str(error)) from error

    def _store(self, key: str, write: Callable[[str], None]) -> None:
        path, temporary = self._path(key), self._temporary()
        try:
            self._prepare(path, key)
            try:
                write(temporary)
            except FileNotFoundError:  # another process was done and removed the staging directory
                if os.path.isdir(f"{self.root}/{STAGING}"):
                    raise
                self._prepare(path, key, again=True)
                write(temporary)
            self._place(path, key, temporary)
        except BaseException as error:
            with suppress(OSError):
                os.unlink(temporary)
            if isinstance(error, OSError):
                # A directory on the way that is gone is no object that is missing.
                is_gone = isinstance(error, FileNotFoundError)
                raise (self._failed if is_gone else self._translate)(error, key) from error
            raise

    def _place(self, path: str, key: str, temporary: str) -> None:
        try:
            try:
                os.rename(temporary, path)
            except FileNotFoundError:  # somebody removed the directory since it was made
                self._prepare(path, key, again=True)
                os.rename(temporary, path)
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            raise in_the_way(self.url, key) from None

    def download(self, key: str, target: Path) -> None:
        """Write the bytes at `key` to `target`."""
        with self._reading(key), Path(self._path(key)).open("rb") as file, target.open("wb") as out:
            shutil.copyfileobj(file, out, 1 << 20)

    def stream(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes, up to 1 MiB at a time."""
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._translate(error, key) from error
        try:
            if start:
                os.lseek(descriptor, start, os.SEEK_SET)
            left = READ_BYTES if length is None else length
            size = FIRST_BYTES  # most objects are small, and a large buffer is mapped anew for each
            while left > 0:
                data = os.read(descriptor, size if size < left else left)
                if not data:
                    return
                if len(data) == size:
                    size = READ_BYTES
                if length is not None:
                    left -= len(data)
                yield data
        except OSError as error:
            raise self._translate(error, key) from error
        finally:
            os.close(descriptor)

    def find(self, key: str) -> Entry | None:
        """Return what is known of the object, or None."""
        with suppress(FileNotFoundError, NotADirectoryError):
            info = os.stat(self._path(key))
            return None if stat.S_ISDIR(info.st_mode) else Entry(key, info.st_size, info.st_mtime)
        return None

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes, or None."""
        with suppress(FileNotFoundError, NotADirectoryError):
            info = os.stat(self._path(key))
            return None if stat.S_ISDIR(info.st_mode) else info.st_size
        return None

    def exists(self, key: str) -> bool:
        """Say whether there is an object at `key`."""
        return self.size(key) is not None

    def has_place(self) -> bool:
        """Say whether the directory is there."""
        return self.root.is_dir()

    def list(self, prefix: str) -> Iterator[Entry]:
        """Yield every object below the directory `prefix`."""
        pending = [prefix.strip("/")]
        while pending:
            folder = pending.pop()
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.root / folder) as entries:
                for entry in entries:
                    key = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != STAGING:
                            pending.append(key)
                    elif entry.is_file():
                        info = entry.stat()
                        yield Entry(key, info.st_size, info.st_mtime)

    def list_names(self, folder: str) -> set[str]:
        """Return the names in a directory, none where there is none: a fifth of what a listing with sizes costs."""
        with self._reading(folder), suppress(FileNotFoundError, NotADirectoryError):
            return set(os.listdir(self._path(folder)))
        return set()

    def children(self, prefix: str) -> Iterator[Child]:
        """Yield what lies directly in the directory `prefix`."""
        folder = self._path(prefix) if prefix else self.root
        with (
            self._reading(prefix),
            suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(folder) as entries,
        ):
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != STAGING:
                        yield Child(entry.name, None)
                elif entry.is_file(follow_symlinks=False):
                    yield Child(entry.name, entry.stat(follow_symlinks=False).st_size)

    def is_plain(self, key: str) -> bool:
        """Say that no part of the way to `key` is a symbolic link; the root itself may be one."""
        path = str(self.root)
        for part in check_key(key).split("/"):
            path = f"{path}/{part}"
            try:
                if stat.S_ISLNK(os.lstat(path).st_mode):
                    return False
            except (FileNotFoundError, NotADirectoryError):
                return True
            except OSError as error:
                raise self._translate(error, key) from error
        return True

    def delete(self, key: str) -> None:
        """Remove the object at `key`, if any."""
        try:
            os.unlink(self._path(key))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise self._translate(error, key) from error

    def delete_tree(self, prefix: str) -> None:
        """Remove the directory `prefix` with all it holds."""
        with self._reading(prefix), suppress(FileNotFoundError, NotADirectoryError):
            shutil.rmtree(self._path(prefix))

    def close(self) -> None:
        """Remove the staging directory when nobody uses it."""
        with suppress(OSError):
            os.rmdir(self.root / STAGING)

    def _reading(self, key: str) -> _Translating:
        return _Translating(self, key)

    def _translate(self, error: OSError, key: str) -> PenstockError:
        if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            return missing(self.url, key)
        if isinstance(error, PermissionError):
            return Denied(
                f"no permission for {key} in {self.url}: {error.strerror}",
                code="storage.denied",
                hint=f"ls -ld {self.root}",
                key=key,
            )
        return self._failed(error, key)

    def _failed(self, error: OSError, key: str) -> Unavailable:
        if is_disk_full(error):
            return disk_full(self._path(key), error.strerror or "")
        return Unavailable(
            f"{self.url} failed on {key}: {error.strerror or error}",
            code="storage.io",
            hint=f"df -h {self.root}",
            key=key,
        )


class _Translating:
    def __init__(self, backend: LocalBackend, key: str) -> None:
        self.backend, self.key = backend, key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise self.backend._translate(error, self.key) from error
