"""The fsspec filesystem `penstock://`: pandas, polars and pyarrow read versioned files by path.

An adapter, imported by fsspec through its entry point and by nothing else; read only. What a path means is in
`penstock.flows.data_access`, and listing in `penstock.flows.import_listing`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from fsspec.spec import AbstractFileSystem

from penstock.base.errors import Invalid, NotFound, PenstockError
from penstock.flows.data_access import find_repository, open_data, read_bytes
from penstock.flows.import_listing import list_items
from penstock.flows.import_source import open_source

PROTOCOL = "penstock"


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

    def _open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> BinaryIO:
        if mode != "rb":
            raise OSError(f"{PROTOCOL}:// is read only: {path}")
        try:
            return open_data(path, self.rev, self.repo, self.remote)
        except PenstockError as error:
            raise _foreign(error, path) from error

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return a file's bytes, checked; with a range only that part of them."""
        path = str(self._strip_protocol(path))
        if start is not None or end is not None:
            return bytes(super().cat_file(path, start, end))
        try:
            return read_bytes(path, self.rev, self.repo, self.remote)
        except PenstockError as error:
            raise _foreign(error, path) from error


def _foreign(error: PenstockError, path: str) -> OSError:
    if isinstance(error, NotFound):
        return FileNotFoundError(error.message)
    if isinstance(error, Invalid) and error.code == "data.is_directory":
        return IsADirectoryError(error.message)
    return OSError(f"{path}: {error.message}")
