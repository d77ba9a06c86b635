"""A connection to an SQLite file that does no harm to another file which has come in its place."""

from __future__ import annotations

import ctypes
import sqlite3
from pathlib import Path
from typing import ClassVar

FileId = tuple[int, int]


def file_of(path: Path | None) -> FileId | None:
    """Return which file a store is; a connection that is open goes on with one that was taken away, and shows what was."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return found and (found.st_dev, found.st_ino)


class StoreConnection(sqlite3.Connection):
    """A connection that knows its file.

    The last connection to a file removes its log when it is closed, by name: where another file has that name now, the
    log of that one, with all that was acknowledged and is in it only. So one connection to each file that was taken away
    stays open until the process ends, and with it the lock that keeps the others from it.
    """

    path: Path | None = None
    file: FileId | None = None
    _left_open: ClassVar[set[FileId]] = set()

    @property
    def is_same_file(self) -> bool:
        """Whether the file is still the one of its name."""
        return self.file == file_of(self.path)

    def close(self) -> None:
        """Close it, or leave it open where that would take another file's log away."""
        if self.file is None or self.is_same_file or self.file in self._left_open:
            super().close()
            return
        self.rollback()
        self._left_open.add(self.file)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))  # the end of the interpreter would close it too
