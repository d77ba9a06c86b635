"""The fsspec filesystem `penstock://`: pandas, polars and pyarrow read versioned files by path.

An adapter, imported by fsspec through its entry point and by nothing else; read only. What a path means is in
`penstock.flows.sources.access`, and listing in `penstock.flows.sources.listing`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from fsspec.utils import isfilelike

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.base.files import atomic_path
from penstock.flows.sources.access import find_repository, open_data, read_bytes
from penstock.flows.sources.listing import list_items
from penstock.flows.sources.repositories import open_source

PROTOCOL = "penstock"
# Looked through at a time for the end of a line; fsspec takes a whole block for each line.
LINE_BYTES = 8 << 10


class PenstockFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """One repository at one revision, read only; paths count from its root.

    A file that is read from the start to the end is checked against its digest; a range is not. Errors
    are fsspec's: `FileNotFoundError`, `IsADirectoryError`, and `OSError` for what cannot be read or written.

    Example:
        >>> PenstockFileSystem._strip_protocol("penstock://data/x.csv")
        'data/x.csv'
    """

    protocol = PROTOCOL
    root_marker = ""
    cachable = False  # without `repo`, the working directory decides

    def __init__(
        self, repo: str | None = None, rev: str | None = None, remote: str | None = None, **options: Any
    ) -> None:
        """Take the repository, revision and remote that `penstock.open` takes."""
        super().__init__(**options)
        self.repo, self.rev, self.remote = repo or str(find_repository()), rev, remote

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """List a directory, or the file itself."""
        path = str(self._strip_protocol(path))
        found = self._list(path)
        return found if detail else [entry["name"] for entry in found]

    def _list(self, path: str) -> list[dict[str, Any]]:
        try:
            with open_source(self.repo, self.rev, base=Path.cwd()) as source:
                entries = list_items(source, path)
        except PenstockError as error:
            raise _foreign(error, path) from error
        # `list` names a file by its last part, as it does the only entry of a directory: only a file opens.
        last = path.rpartition("/")[2]
        single = len(entries) == 1 and entries[0]["path"] == last and not entries[0]["isdir"]
        single = single and not self._is_directory(path)
        return [
            {
                "name": path if single else f"{path}/{entry['path']}".lstrip("/"),
                "size": entry["size"] or 0,
                "type": "directory" if entry["isdir"] else "file",
                "md5": entry["md5"],
            }
            for entry in entries
        ]

    def _is_directory(self, path: str) -> bool:
        try:
            open_data(path, self.rev, self.repo, self.remote).close()
        except PenstockError as error:
            return error.code == "data.is_directory"
        return False

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_type: str = "readahead",
        cache_options: dict[str, Any] | None = None,
        **_: Any,
    ) -> PenstockFile:
        if mode != "rb":
            raise OSError(f"{PROTOCOL}:// is read only: {path}")
        try:
            file = open_data(path, self.rev, self.repo, self.remote)
        except PenstockError as error:
            raise _foreign(error, path) from error
        return PenstockFile(
            self, path, file, block_size=block_size, cache_type=cache_type, cache_options=cache_options
        )

    def get_file(
        self,
        rpath: str,
        lpath: Any = None,
        callback: Callback = DEFAULT_CALLBACK,
        outfile: Any = None,
        **options: Any,
    ) -> None:
        """Copy a file; it appears at `lpath` once it is whole and checked."""
        if outfile is not None or isfilelike(lpath) or self.isdir(rpath):
            super().get_file(rpath, lpath, callback, outfile, **options)
            return
        with atomic_path(Path(lpath), durable=False) as temporary, temporary.open("xb") as out:
            super().get_file(rpath, None, callback, out, **options)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return a file's bytes, checked; with a range only that part of them."""
        path = str(self._strip_protocol(path))
        if start is not None or end is not None:
            return bytes(super().cat_file(path, start, end))
        try:
            return read_bytes(path, self.rev, self.repo, self.remote)
        except PenstockError as error:
            raise _foreign(error, path) from error


class PenstockFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file of the repository as fsspec's caches want it: with a size, read by ranges."""

    def __init__(
        self, system: PenstockFileSystem, path: str, file: BinaryIO, *, block_size: int | None, **options: Any
    ) -> None:
        """Take over an open file."""
        self._file = file
        size = file.seek(0, io.SEEK_END)
        super().__init__(system, path, "rb", block_size or "default", size=size, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)

    def readline(self) -> bytes:
        """Return the next line with its end."""
        return bytes(self.readuntil(b"\n", LINE_BYTES))

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._file.close()


def _foreign(error: PenstockError, path: str) -> OSError:
    if isinstance(error, NotFound):
        return FileNotFoundError(error.message)
    if isinstance(error, Invalid) and error.code == "data.is_directory":
        return IsADirectoryError(error.message)
    return OSError(f"{path}: {error.message}")
