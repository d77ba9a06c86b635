"""A store that nobody has made yet: it reads as an empty one, and is made by the first write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from penstock.base.clock import now_ms
from penstock.base.store.database import Database
from penstock.base.store.script import SCRIPT


class UnmadeDatabase(Database):
    """A store whose SQLite file is not there yet. Once it is, whoever made it, this is a store like any other.

    So who only looks leaves no file behind, and a file that goes away later is not made anew.

    Args:
        file: the store's file.
        make: makes the store, or opens it, its schema current.
    """

    def __init__(self, file: Path, make: Callable[[], Database]) -> None:
        super().__init__(_empty_engine())
        self._file, self._make = file, make
        self._making = threading.Lock()
        self._made: Database | None = None

    @property
    def url(self) -> str:
        """The store's URL."""
        return f"sqlite:///{self._file}"

    @property
    def is_made(self) -> bool:
        """Whether the store is there."""
        return self._made is not None

    @contextmanager
    def _connect(self, *, writes: bool) -> Iterator[sa.Connection]:
        if self._made is None and (writes or self._file.is_file()):
            with self._making:
                if self._made is None:
                    made = self._make()
                    self.engine.dispose()
                    self.engine, self._made = made.engine, made
        with super()._connect(writes=writes) as connection:
            yield connection


def _empty_engine() -> sa.Engine:
    """Return an engine over empty stores in memory, one for each connection.

    SQLAlchemy's own choice for memory, a connection for each thread, closes those of other threads when there are
    many or the store is made, which SQLite refuses; it would also close under whoever reads.
    """
    engine = sa.create_engine("sqlite://", poolclass=QueuePool, connect_args={"check_same_thread": False})

    def fill(connection: Any, _record: object) -> None:
        connection.executescript(SCRIPT.read_text())
        time_ms = now_ms()
        connection.execute(
            f"UPDATE experiments SET created_ms = {time_ms}, updated_ms = {time_ms} WHERE id = 0"
        )
        connection.commit()

    sa.event.listen(engine, "connect", fill)
    return engine
