"""Read versioned data from Python: `penstock.open` and `penstock.read_bytes`.

A file is read from the cache, else from the remote range by range, without bringing the rest of it. A whole
read is checked against its digest; a range of a remote object cannot be.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from penstock.base.digest import digest_bytes
from penstock.base.errors import Corrupt, Invalid
from penstock.data.transfer import remote_key
from penstock.flows.import_source import Source, find_output, not_in_source, open_source, source_path
from penstock.storage.backend import Backend

BLOCK_BYTES = 4 << 20


class RemoteFile(io.RawIOBase):
    """One remote object as a seekable file; every read is one ranged request. Closing it closes the remote."""

    def __init__(self, remote: Backend, key: str, size: int) -> None:
        super().__init__()
        self._remote, self._key, self._size, self._at = remote, key, size, 0

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
        """Move; nothing is requested."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer by one request; 0 at the end."""
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        data = self._remote.get_range(self._key, self._at, length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

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
        raise Corrupt(
            f"{path} is damaged where it is stored",
            code="data.object_corrupt",
            hint="penstock repair",
            md5=md5,
        )
    return data


def find_repository() -> Path:
    """Return the repository that holds the working directory, or that directory where there is none."""
    current = Path.cwd()
    return next((at for at in (current, *current.parents) if (at / ".dvc").is_dir()), current)


def _open(source: Source, path: str, remote: str | None) -> tuple[BinaryIO, str | None]:
    place = source_path(source, path)
    output = find_output(source, place)
    if output is None or output.hash is None:
        if place.is_dir():
            raise _directory(path)
        if not place.resolve().is_relative_to(source.repo.root.resolve()) or not place.is_file():
            raise not_in_source(source, path)
        return place.open("rb"), None
    md5 = output.hash.md5
    if output.hash.is_tree:
        within = place.relative_to(output.path).as_posix()
        if within == ".":
            raise _directory(path)
        tree = source.load_tree(output.hash)
        if within not in tree:
            inside: Callable[[str], bool] = lambda name: name.startswith(f"{within}/")  # noqa: E731
            raise _directory(path) if any(map(inside, tree)) else not_in_source(source, path)
        md5 = tree[within]
    cached = source.repo.cache.find(output.hash) if not output.hash.is_tree else source.repo.cache.path(md5)
    if cached is not None and Path(cached).exists():
        return Path(cached).open("rb"), md5 if output.hash.algorithm == "md5" else None
    backend = source.repo.remote(remote or output.remote)
    size = backend.size(remote_key(md5))
    if size is None:
        backend.close()
        raise not_in_source(source, path)
    return io.BufferedReader(RemoteFile(backend, remote_key(md5), size), BLOCK_BYTES), md5


def _directory(path: str) -> Invalid:
    return Invalid(
        f"{path} is a directory", code="data.is_directory", hint="penstock list REPO PATH", path=path
    )
