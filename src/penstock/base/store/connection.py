"""A connection to an SQLite file that does no harm to another file which has come in its place."""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

FileId = tuple[int, int]
BUSY_TIMEOUT_S = 30
"""How long a writer waits for another."""
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
"""What every connection to a store is set to, unless its URL asks for less."""


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


def open_store(
    path: Path | None, pragmas: Iterable[str] = PRAGMAS, *, busy_timeout_s: float | None = None
) -> StoreConnection:
    """Open a store's file, or a store in memory; transactions are begun and ended by statements alone.

    Args:
        busy_timeout_s: how long to wait for another writer (default: `BUSY_TIMEOUT_S`).

    Raises:
        sqlite3.OperationalError: the file is gone, or another came in its place meanwhile, or it cannot be opened.
    """
    file = file_of(path)
    if path is not None and file is None:
        raise sqlite3.OperationalError("its file is gone")
    # one that is taken away in this very moment must not be made anew, empty, by being opened
    where = ":memory:" if path is None else f"{path.as_uri()}?mode=rw"
    connection = sqlite3.connect(
        where,
        timeout=BUSY_TIMEOUT_S if busy_timeout_s is None else busy_timeout_s,
        factory=StoreConnection,
        uri=True,
        check_same_thread=False,
    )
    connection.isolation_level = None  # the driver's own BEGIN comes too late for readers and writers
    connection.path, connection.file = path, file
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")  # the first of them opens the file
        if not connection.is_same_file:
            raise sqlite3.OperationalError("its file is another one now, or gone")
    except BaseException:
        connection.close()
        raise
    return connection
