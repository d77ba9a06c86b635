"""Read versioned data from Python: `penstock.open` and `penstock.read_bytes`.

A file is read from the cache, else from the remote range by range, without bringing the rest of it. What is read
from the start to the end is checked against its digest; a range cannot be.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from penstock.base.digest import digest_bytes
from penstock.base.errors import Corrupt, Invalid, NotFound
from penstock.data.formats.output import HashInfo
from penstock.flows.sources.repositories import (
    Source,
    find_output,
    not_in_source,
    object_key,
    open_source,
    source_path,
)
from penstock.storage.backend import Backend

BLOCK_BYTES = 4 << 20


class _Checked(io.RawIOBase):
    """A seekable file that knows its digest: who reads it from the start to the end in order gets its bytes, or Corrupt.

    The last bytes are not handed out when all of them do not match. After a jump nothing can be checked.
    """

    def __init__(self, name: str, size: int, md5: str | None) -> None:
        super().__init__()
        self._name, self._size, self._md5, self._at = name, size, md5, 0
        self._digest = hashlib.md5(usedforsecurity=False)
        self._digested = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the offset of the next read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; nothing is read.

        Raises:
            OSError: that is before the start, as for any file.
            ValueError: there is no such `whence`.
        """
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}
        if whence not in bases:
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        if bases[whence] + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._at = bases[whence] + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer; 0 at the end.

        Raises:
            Corrupt: this was the rest of a file whose bytes are not what its digest says.
        """
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        data = self._range(self._at, length)
        if self._at == self._digested and self._md5 is not None:
            self._digest.update(data)
            self._digested += len(data)
            if self._digested == self._size and self._digest.hexdigest() != self._md5:
                raise damaged(self._name, self._md5)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    @abstractmethod
    def _range(self, start: int, length: int) -> bytes:
        """Return the bytes from `start` on, `length` of them or fewer at the end."""


class CheckedFile(_Checked):
    """An object of a cache; see `_Checked`."""

    def __init__(self, path: Path, name: str, md5: str | None) -> None:
        self._file = path.open("rb", buffering=0)
        super().__init__(name, os.fstat(self._file.fileno()).st_size, md5)

    def fileno(self) -> int:
        """Return the descriptor, for those who map the file."""
        return self._file.fileno()

    def _range(self, start: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, start)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class RemoteFile(_Checked):
    """One remote object; every read is one ranged request. Closing it closes the remote. See `_Checked`."""

    def __init__(self, remote: Backend, key: str, size: int, name: str, md5: str | None) -> None:
        super().__init__(name, size, md5)
        self._remote, self._key = remote, key

    def _range(self, start: int, length: int) -> bytes:
        return self._remote.get_range(self._key, start, length)

    def close(self) -> None:
        """Release the remote."""
        if not self.closed:
            self._remote.close()
        super().close()


def open_data(
    path: str, rev: str | None = None, repo: str | None = None, remote: str | None = None
) -> BinaryIO:
    """Open a tracked (or git's) file of a repository for reading bytes.

    Args:
        path: relative to the root of the repository.
        rev: a git revision; None reads what the pointers say now.
        repo: a directory or git URL; the repository of the working directory by default.
        remote: the remote to read from where the cache lacks the object.

    Raises:
        NotFound: there is no such file, revision or remote, or the object is nowhere.
        Invalid: the path is a directory.
    """
    with open_source(repo or str(find_repository()), rev, base=Path.cwd()) as source:
        return _open(source, path, remote)[0]


def read_bytes(
    path: str, rev: str | None = None, repo: str | None = None, remote: str | None = None
) -> bytes:
    """Return a file's bytes, checked against its digest; see `open_data`.

    Raises:
        Corrupt: they do not match.
    """
    with open_source(repo or str(find_repository()), rev, base=Path.cwd()) as source:
        file, md5 = _open(source, path, remote)
    with file:
        data = file.read()
    if md5 is not None and digest_bytes(data, "md5") != md5:
        raise damaged(path, md5)
    return data


def damaged(path: str, md5: str) -> Corrupt:
    """Make the error for a file whose bytes are not what its digest says."""
    return Corrupt(
        f"{path} is damaged where it is stored", code="data.object_corrupt", hint="penstock repair", md5=md5
    )


def find_repository() -> Path:
    """Return the repository that holds the working directory, or that directory where there is none."""
    current = Path.cwd()
    return next((at for at in (current, *current.parents) if (at / ".dvc").is_dir()), current)


def _open(source: Source, path: str, remote: str | None) -> tuple[BinaryIO, str | None]:
    source, path = source.enter(path)
    place = source_path(source, path)
    output = find_output(source, place)
    if output is None or output.hash is None:
        if place.is_dir():
            raise _directory(path)
        if not place.resolve().is_relative_to(source.repo.root.resolve()) or not place.is_file():
            raise not_in_source(source, path)
        return place.open("rb"), None
    info = output.hash
    if info.is_tree:
        within = place.relative_to(output.path).as_posix()
        if within == ".":
            raise _directory(path)
        tree = source.load_tree(info)
        if within not in tree:
            inside: Callable[[str], bool] = lambda name: name.startswith(f"{within}/")  # noqa: E731
            raise _directory(path) if any(map(inside, tree)) else not_in_source(source, path)
        info = HashInfo(tree[within], algorithm=info.algorithm)
    md5 = info.md5 if info.algorithm == "md5" else None
    cached = source.repo.cache.find(info)
    if cached is not None:
        return io.BufferedReader(CheckedFile(Path(cached), path, md5)), md5
    name = source.repo.remote_name(remote or output.remote)
    backend = source.repo.remote(name)
    size = backend.size(object_key(info))
    if size is None:
        try:
            backend.has_place()
        finally:
            backend.close()
        raise NotFound(
            f"{path} is neither in the cache nor on the remote {name!r} ({backend.url})",
            code="data.object_missing",
            hint="penstock push where it was added",
            path=path,
            md5=info.md5,
        )
    return io.BufferedReader(RemoteFile(backend, object_key(info), size, path, md5), BLOCK_BYTES), md5


def _directory(path: str) -> Invalid:
    return Invalid(
        f"{path} is a directory", code="data.is_directory", hint="penstock list REPO PATH", path=path
    )
