"""The serve process: follow the endpoints' revisions, answer requests, end without losing one.

The HTTP application is given by the caller; this module knows when models change and when to stop.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.base.background import Background
from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError, Unavailable
from penstock.base.store.database import Database
from penstock.base.threads import begin
from penstock.flows.production.recording import LiveRecorder
from penstock.flows.production.room import MAX_BYTES
from penstock.http.listen import bind, make_server, serve_on, url_of
from penstock.monitoring.policies import list_policies
from penstock.serving.classes import Served
from penstock.serving.dataplane import DataPlane
from penstock.serving.deployments import Revision, list_endpoints
from penstock.serving.loaders.model import ModelFiles
from penstock.serving.repository import ModelRepository
from penstock.serving.workers import State, WorkerRevision, beat, register_worker, report_revision

logger = logging.getLogger(__name__)
RETRY_S = 5.0
"""A revision whose model could not be fetched is tried again after this long."""


class ModelSource(Protocol):
    """Where the files of model versions come from."""

    def fetch(self, model: str, version: int) -> ModelFiles:
        """Return a version's files on the local disk.

        Raises:
            PenstockError: there is no such version, or it cannot be had now.
        """
        ...

    def edges(self, model: str, version: int) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return the edges of a version's reference, at which live values are counted; empty without one.

        Raises:
            PenstockError: the reference cannot be had now.
        """
        ...


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a serve process runs. `port` 0 takes a free one; `poll_s` is how soon a deployment is seen.

    `flush_s` is how often monitoring data are written at least; a policy may ask for more often. Until then
    they take `recorder_max_bytes` at most.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    poll_s: float = 0.2
    beat_s: float = 1.0
    flush_s: float = 1.0
    recorder_max_bytes: int = MAX_BYTES
    drain_s: int = 30


class ServeProcess:
    """One serve process. `run` blocks; `start` and `stop` run it in a thread, for tests and embedding.

    Args:
        application: makes the ASGI application for the data plane.
    """

    def __init__(
        self,
        database: Database,
        source: ModelSource,
        application: Callable[[DataPlane], Any],
        options: ServeOptions,
    ) -> None:
        self._database = database
        self._options = options
        self._socket = bind(options.host, options.port)
        self.url = url_of(self._socket, options.host)
        try:
            with database.write() as connection:
                self.worker = register_worker(
                    connection, host=socket.gethostname(), pid=os.getpid(), url=self.url, time_ms=now_ms()
                )
        except PenstockError:
            self._socket.close()
            raise
        self._source = source
        self._repository = ModelRepository(source.fetch)
        self._recorder = LiveRecorder(
            database, self.worker, flush_s=options.flush_s, max_bytes=options.recorder_max_bytes
        )
        self.dataplane = DataPlane(self._repository, self._recorder, self._recorder, worker=self.worker)
        self._tried: dict[str, tuple[int, float]] = {}
        self._poller = Background(
            "penstock-revisions", self.follow, options.poll_s, failing="serving on with what is known"
        )
        # apart from the poller: a model that takes long to load must not make this process look dead
        self._heart = Background(
            "penstock-beat", self._beat, options.beat_s, failing="deployments are not told that this serves"
        )
        self._server = make_server(application(self.dataplane), drain_s=options.drain_s)
        self._running: Future[None] | None = None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT (or `stop`); then finish requests and write what was recorded."""
        try:
            self._heart.start()
            self.follow()
            self._poller.start()
            serve_on(self._socket, self._server)
        finally:
            self._end()

    def start(self) -> None:
        """Serve in a thread and return when requests are answered."""
        self._running = begin("penstock-serve", self.run)
        while not self._server.started:
            if self._running.done():
                self._running.result()
                return
            time.sleep(0.005)

    def stop(self) -> None:
        """End a process begun with `start`, as SIGTERM does."""
        self._server.should_exit = True
        if self._running is not None:
            self._running.result()

    def _end(self) -> None:
        self._poller.stop()
        self._heart.stop()
        self._socket.close()
        self.dataplane.close()
        try:
            self._recorder.close()
            with self._database.write() as connection:
                beat(connection, self.worker, 0)
        except PenstockError as error:
            logger.error("the last monitoring data could not be written: %s", error.message)

    def _beat(self) -> None:
        with self._database.write() as connection:
            beat(connection, self.worker, now_ms())

    def follow(self) -> None:
        """Take over every endpoint's current revision that is not served yet, and how each is watched.

        Raises:
            Unavailable: the store cannot be reached.
        """
        with self._database.read() as connection:
            current = list_endpoints(connection)
            policies = list_policies(connection)
        self._recorder.watch({name: one.settings.monitor for name, one in policies.items()})
        self._repository.expect(frozenset(revision.endpoint for revision in current))
        for revision in current:
            served = self._repository.served.get(revision.endpoint)
            if (served is None or served.revision.number != revision.number) and self._is_due(revision):
                self._take_over(revision)

    def _mark(self, revision: Revision) -> None:
        """Let the recorder count at the edges of each version's reference; without them sketches do."""
        for version in revision.versions:
            try:
                edges = self._source.edges(revision.model, version)
            except PenstockError as error:
                logger.warning("values of %s/%s are estimated: %s", revision.model, version, error.message)
                continue
            self._recorder.mark(Served(revision.endpoint, revision.number, version), edges)

    def _is_due(self, revision: Revision) -> bool:
        number, again_s = self._tried.get(revision.endpoint, (0, 0.0))
        return number != revision.number or time.monotonic() >= again_s

    def _take_over(self, revision: Revision) -> None:
        message = ""
        state: State = "ready"
        again_s = float("inf")
        try:
            self._repository.apply(revision)
            self._mark(revision)
        except PenstockError as error:
            message, state = error.message, "failed"
            if isinstance(error, Unavailable):
                state, again_s = "waiting", time.monotonic() + RETRY_S
            logger.error("%s#%s is not served: %s", revision.endpoint, revision.number, message)
        except Exception as error:
            message, state = f"{type(error).__name__}: {error}", "failed"
            logger.exception("%s#%s is not served", revision.endpoint, revision.number)
        else:
            logger.info("%s#%s is served", revision.endpoint, revision.number)
        self._tried[revision.endpoint] = (revision.number, again_s)
        report = WorkerRevision(
            endpoint=revision.endpoint,
            revision=revision.number,
            state=state,
            message=message,
            time_ms=now_ms(),
        )
        with self._database.write() as connection:
            report_revision(connection, self.worker, report)
