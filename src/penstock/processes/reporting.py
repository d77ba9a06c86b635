"""What a serve process tells the store of itself: that it lives, and what it serves or why it does not.

Also a store that does not know the process, since it is another or an older one than at its start. What finds the store
away is told with the next beat that finds it there.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping

import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.store.database import Database
from penstock.processes.known import is_same
from penstock.serving.deployments import Revision
from penstock.serving.repository import ServedRevision
from penstock.serving.workers import (
    State,
    WorkerRevision,
    beat,
    end_worker,
    keep_registered,
    register_worker,
    report_revision,
)

NOT_LOADED = "it is not loaded in this process"


class WorkerReports:
    """The reports of one process. Thread-safe.

    Raises:
        Unavailable: the store cannot be reached.
    """

    def __init__(self, database: Database, url: str) -> None:
        self._database, self._url = database, url
        self._started_ms = now_ms()
        self._said: dict[str, WorkerRevision] = {}
        """What the store was told last, by endpoint."""
        self._untold: dict[str, WorkerRevision] = {}
        """What it could not be told yet."""
        self._lock = threading.Lock()
        with database.write() as connection:
            self.worker = register_worker(
                connection, host=socket.gethostname(), pid=os.getpid(), url=url, time_ms=self._started_ms
            )
        """The number of this process in the store, which is in the ids of its predictions."""

    def beat(self) -> None:
        """Say that the process lives, and what the store could not be told yet; one that does not know it learns all again.

        Raises:
            Unavailable: the store cannot be reached, or has given the process's number to another.
        """
        with self._lock:
            with self._database.write() as connection:
                self._tell(connection)
                beat(connection, self.worker, now_ms())
            self._note_told()

    def end(self) -> None:
        """Say that the process has ended."""
        with self._database.write() as connection:
            end_worker(connection, self.worker, now_ms())

    def report(self, revision: Revision, state: State, message: str) -> None:
        """Say what the process does about a revision; where the store is away, the next beat says it.

        Raises:
            Unavailable: the store cannot be reached, or has given the process's number to another.
        """
        report = WorkerRevision(
            endpoint=revision.endpoint,
            revision=revision.number,
            state=state,
            message=_storable(message),
            time_ms=now_ms(),
        )
        with self._lock:
            self._untold[revision.endpoint] = report
            with self._database.write() as connection:
                self._tell(connection)
            self._note_told()

    def _tell(self, connection: sa.Connection) -> None:
        """Write what the store was not told yet; all where it does not know the process."""
        is_new = self._keep_registered(connection)
        for one in (self._said | self._untold if is_new else self._untold).values():
            report_revision(connection, self.worker, one)

    def _note_told(self) -> None:
        self._said |= self._untold
        self._untold.clear()

    def correct(
        self,
        current: Mapping[str, Revision],
        served: Mapping[str, ServedRevision],
        unknown: Mapping[str, str],
        told: Mapping[str, str],
    ) -> None:
        """Say it where the process does something else about a current revision than it said last.

        Args:
            current: what the store says.
            unknown: why the store does not know what is served, by endpoint.
            told: what is to be told of each endpoint that is served.
        """
        for name, revision in current.items():
            mine, said = served.get(name), self._said.get(name)
            if mine is not None and is_same(mine.revision, revision):
                if mine.left_out.keys() - mine.lacking.keys():
                    continue  # who leaves it out tells of it
                state: State = "ready"
                message = told.get(name, "")
            elif name in unknown:
                state, message = "waiting", unknown[name]
            elif said is not None and said.revision == revision.number and said.state == "ready":
                state, message = "waiting", NOT_LOADED
            else:
                continue  # who loads it tells of it
            if said is None or (said.revision, said.state, said.message) != (revision.number, state, message):
                self.report(revision, state, message)

    def _keep_registered(self, connection: sa.Connection) -> bool:
        return keep_registered(
            connection,
            self.worker,
            host=socket.gethostname(),
            pid=os.getpid(),
            url=self._url,
            started_ms=self._started_ms,
        )


def _storable(message: str) -> str:
    """Return a message without what no store keeps: a model's error may hold any character."""
    return message.encode(errors="replace").decode().replace("\0", "?")
