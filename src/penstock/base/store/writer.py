"""GroupWriter: writes that arrive together are committed together.

A commit costs a flush of the disk, whatever it holds. One thread takes all work that waits, does each piece
in a savepoint of its own and commits once: under load a flush serves many callers, alone it serves one at
once. A caller's result is set after the commit, so what was acknowledged is durable.

Source: the group commit of DeWitt et al., "Implementation techniques for main memory database systems",
SIGMOD 1984.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa

from penstock.base.errors import Unavailable
from penstock.base.store.database import Database
from penstock.base.store.failures import told_of_store
from penstock.base.threads import begin

MAX_GROUP = 128
T = TypeVar("T")
Work = Callable[[sa.Connection], Any]


class GroupWriter:
    """Does work on one connection in one thread. Thread-safe; the thread starts with the first piece."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[tuple[Work, Future[Any]]] = deque()
        self._wake = threading.Condition()
        self._running: Future[None] | None = None
        self._closed = False

    def submit(self, work: Callable[[sa.Connection], T]) -> Future[T]:
        """Queue work and return its result to come.

        Pieces are done in the order they came. One that raises changes nothing, and only its own future
        fails; work must therefore not swallow database errors.

        Raises:
            Unavailable: the writer was closed.
        """
        future: Future[T] = Future()
        with self._wake:
            if self._closed:
                raise Unavailable("the store is closing", code="store.closing", hint="try again")
            self._waiting.append((work, future))
            if self._running is None:
                self._running = begin("penstock-writer", self._run)
            self._wake.notify()
        return future

    def close(self) -> None:
        """Do what waits, then end the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._running is not None:
            self._running.result()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closed:
                    self._wake.wait()
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_GROUP))]
            if not group:
                return
            self._do([item for item in group if item[1].set_running_or_notify_cancel()])

    def _do(self, group: list[tuple[Work, Future[Any]]]) -> None:
        outcomes: list[tuple[Any, Exception | None]] = []
        try:
            with self._database.write() as connection:
                for work, _ in group:
                    outcomes.append(_attempt(connection, work))
        except Exception as error:  # noqa: BLE001 - the whole group failed: each caller learns it
            for _, future in group:
                future.set_exception(error)
            return
        for (_, future), (result, problem) in zip(group, outcomes, strict=True):
            if problem is None:
                future.set_result(result)
            else:
                future.set_exception(problem)


def _attempt(connection: sa.Connection, work: Work) -> tuple[Any, Exception | None]:
    connection.exec_driver_sql("SAVEPOINT piece")
    try:
        result = work(connection)
    except Exception as error:  # noqa: BLE001 - handed to the caller whose work it was
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT piece")
        connection.exec_driver_sql("RELEASE SAVEPOINT piece")
        told = (
            told_of_store(error, connection.engine.url) if isinstance(error, sa.exc.DatabaseError) else None
        )
        return None, told or error
    connection.exec_driver_sql("RELEASE SAVEPOINT piece")
    return result, None
