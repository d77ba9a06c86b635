"""What is already known about files on disk, so that nothing is hashed twice.

One SQLite file, `.dvc/tmp/penstock-state.db`. A file is known by device, inode, size and modification
time, never by its path, so moving or renaming keeps it known. A tracked directory's last scan is kept as
one snapshot: when nothing changed, a scan is compared with it in one step. All of it can be deleted at
any time; a damaged file is thrown away and made anew.

Rows are only written for files whose modification time is older than `RACY_NS`: a file written within
the clock's tick could change again without a new time.
"""

from __future__ import annotations

import os
import sqlite3
import time
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

RACY_NS = 20_000_000  # two ticks of a 100 Hz kernel
WAIT_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (ino INTEGER NOT NULL, dev INTEGER NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, md5 TEXT NOT NULL, PRIMARY KEY (ino, dev)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots (path BLOB PRIMARY KEY, names BLOB NOT NULL, stats BLOB NOT NULL,
  digests BLOB NOT NULL, md5 TEXT NOT NULL, size INTEGER NOT NULL, nfiles INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS complete (md5 TEXT PRIMARY KEY, fingerprint TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outputs (path BLOB PRIMARY KEY, md5 TEXT NOT NULL, source BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ignored (path BLOB PRIMARY KEY);
PRAGMA user_version = 3;
"""


class FileKey(NamedTuple):
    """What identifies a file's content without reading it."""

    ino: int
    dev: int
    size: int
    mtime_ns: int


class Snapshot(NamedTuple):
    """A directory as it was last hashed, in scan order.

    `names` are relative paths joined by zero bytes, `stats` (inode, size, mtime_ns) per file as int64,
    `digests` 16 bytes per file; `md5`, `size` and `nfiles` belong to the whole tree.
    """

    names: bytes
    stats: array[int]
    digests: bytes
    md5: str
    size: int
    nfiles: int


class State:
    """The state file, opened at the first question. Not for use by several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._connect(str(self._path))
            except (
                sqlite3.OperationalError
            ):  # others keep it locked, or it cannot be written: what it says stays theirs
                self._connection = self._connect(":memory:")
            except sqlite3.DatabaseError:
                for suffix in ("", "-wal", "-shm"):
                    with suppress(OSError):
                        Path(f"{self._path}{suffix}").unlink()
                try:
                    self._connection = self._connect(str(self._path))
                except sqlite3.DatabaseError:  # a read-only repository: remember for this process only
                    self._connection = self._connect(":memory:")
        return self._connection

    @staticmethod
    def _connect(path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")  # losing it costs a rehash, never data
        if connection.execute("PRAGMA user_version").fetchone()[0] != 3:
            connection.executescript(_SCHEMA)
        return connection

    def find_file(self, key: FileKey) -> str | None:
        """Return a file's md5, or None where it is not known or changed since."""
        row = (
            self._open()
            .execute("SELECT size, mtime_ns, md5 FROM files WHERE ino = ? AND dev = ?", (key.ino, key.dev))
            .fetchone()
        )
        return row[2] if row is not None and (row[0], row[1]) == (key.size, key.mtime_ns) else None

    def has_files(self) -> bool:
        """Say whether any file is known."""
        return self._open().execute("SELECT 1 FROM files LIMIT 1").fetchone() is not None

    def save_files(self, rows: Iterable[tuple[FileKey, str]]) -> None:
        """Remember files' md5s, except those too fresh to be trusted."""
        limit = time.time_ns() - RACY_NS
        fresh = [(*key, md5) for key, md5 in rows if key.mtime_ns < limit]
        if fresh:
            with self._writing() as connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO files (ino, dev, size, mtime_ns, md5) VALUES (?, ?, ?, ?, ?)",
                    fresh,
                )

    def find_snapshot(self, path: bytes) -> Snapshot | None:
        """Return the last scan of the directory at `path` (relative to the root), or None."""
        row = (
            self._open()
            .execute("SELECT names, stats, digests, md5, size, nfiles FROM snapshots WHERE path = ?", (path,))
            .fetchone()
        )
        return None if row is None else _snapshot(row)

    def find_moved(self, nfiles: int) -> list[Snapshot]:
        """Return a few snapshots of as many files, wherever they were: a directory that moved is among them."""
        rows = self._open().execute(
            "SELECT names, stats, digests, md5, size, nfiles FROM snapshots WHERE nfiles = ? LIMIT 4",
            (nfiles,),
        )
        return [_snapshot(row) for row in rows]

    def save_snapshot(self, path: bytes, snapshot: Snapshot) -> None:
        """Remember a scan; files too fresh to be trusted are written with time 0, which matches nothing."""
        limit = time.time_ns() - RACY_NS
        stats = snapshot.stats
        if stats and max(stats[2::3]) >= limit:
            stats = array("q", stats)
            for index in range(2, len(stats), 3):
                if stats[index] >= limit:
                    stats[index] = 0
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?)",
                (path, snapshot.names, stats.tobytes(), *snapshot[2:]),
            )

    def find_complete(self, md5: str) -> str | None:
        """Return the cache fingerprint under which a tree's objects were all seen, or None."""
        row = self._open().execute("SELECT fingerprint FROM complete WHERE md5 = ?", (md5,)).fetchone()
        return row[0] if row is not None else None

    def save_complete(self, md5: str, fingerprint: str) -> None:
        """Remember that all objects of a tree were seen under this cache fingerprint."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO complete VALUES (?, ?)", (md5, fingerprint))

    def save_outputs(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Remember what was brought into the workspace: path, md5, and the file that declares it."""
        encoded = [(os.fsencode(path), md5, os.fsencode(source)) for path, md5, source in rows]
        if encoded:
            with self._writing() as connection:
                connection.executemany("INSERT OR REPLACE INTO outputs VALUES (?, ?, ?)", encoded)

    def list_outputs(self) -> list[tuple[str, str, str]]:
        """Return every row that `save_outputs` wrote, in path order."""
        rows = self._open().execute("SELECT path, md5, source FROM outputs ORDER BY path")
        return [(os.fsdecode(path), md5, os.fsdecode(source)) for path, md5, source in rows]

    def forget_outputs(self, paths: Iterable[str]) -> None:
        """Forget what was brought to these paths."""
        with self._writing() as connection:
            connection.executemany(
                "DELETE FROM outputs WHERE path = ?", [(os.fsencode(one),) for one in paths]
            )

    def note_ignored(self, path: str) -> None:
        """Remember that we had git ignore a path (relative to the root)."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO ignored VALUES (?)", (os.fsencode(path),))

    def take_ignored(self, path: str) -> bool:
        """Say whether we had git ignore a path, and forget it."""
        count = 0
        with self._writing() as connection:
            count = connection.execute("DELETE FROM ignored WHERE path = ?", (os.fsencode(path),)).rowcount
        return count > 0

    def _writing(self) -> _Transaction:
        return _Transaction(self._open())

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _snapshot(row: Sequence[Any]) -> Snapshot:
    stats = array("q")
    stats.frombytes(row[1])
    return Snapshot(row[0], stats, *row[2:])


class _Transaction:
    """One transaction; a state that cannot be written (locked, full disk) is skipped, not an error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> sqlite3.Connection:
        with suppress(sqlite3.OperationalError):
            self.connection.execute("BEGIN IMMEDIATE")
        return self.connection

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        with suppress(sqlite3.OperationalError):
            self.connection.execute("COMMIT" if kind is None else "ROLLBACK")
        return kind is not None and issubclass(kind, sqlite3.OperationalError)
