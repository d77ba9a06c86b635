"""Batches of observations into the store: the same windows, predictions and labels as a serve process writes.

One transaction a batch, with the note that it was taken: a batch that is sent again changes nothing.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import threading
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.base.store.events import record_event
from penstock.flows.models.folders import RegistrySource, find_signature
from penstock.flows.production.live.accumulating import Accumulating
from penstock.flows.production.live.exchanging import Exchanging, Told, tell_sender
from penstock.flows.production.live.joining import join_kept, join_labels, join_waiting
from penstock.flows.production.live.room import Missed
from penstock.flows.production.live.summarising import (
    Edges,
    key_of,
    prediction_of,
    summarise,
    summarise_missed,
)
from penstock.flows.production.payloads.keeping import put_batch
from penstock.monitoring.policies import find_readable_policy
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Window, WindowKey
from penstock.project.project import Project
from penstock.records.signature import Signature
from penstock.registry.entities import ModelVersion
from penstock.registry.references import resolve_version
from penstock.serving.classes import Classes, Served, add_classes, read_classes
from penstock.serving.deployments import Revision, find_revision, get_revision
from penstock.serving.predictions.stored import Prediction, add_predictions, list_predictions
from penstock.serving.predictions.waiting import ids_since
from penstock.serving.recorder import Exchange, Label, LabelCounts
from penstock.serving.told.observations import ObservationBatch, add_batch, bad_batch
from penstock.serving.workers import BATCH, NO_URL, WorkerRevision, beat, register_worker, report_revision

logger = logging.getLogger(__name__)
UNWRITTEN_MAX = 1_000
CLOCKS_TOLD_MS = 3_600_000
"""So long it is not said again that an endpoint's calls come from a clock that is not in step."""
LATE_MAX = 500
"""Predictions of waiting labels that are looked for at once."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch: how many calls it told of, whether it is new, and the ids of its predictions.

    One that was taken before has the ids of the first time; none where the store does not know them (any more).
    `answers_left_out` counts answers whose rows could not be matched with those that were asked. `sender_ahead_ms` is by how
    much the sender's clock was ahead of this server's (behind, where it is below 0), which all times were set right by;
    `moved_to_now` counts calls whose time lay ahead all the same.
    """

    batch: str
    is_new: bool
    observation_count: int
    prediction_ids: tuple[str, ...] = ()
    answers_left_out: int = 0
    sender_ahead_ms: int = 0
    moved_to_now: int = 0


class WindowsOfBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch says where its windows and predictions are made already; `batch` is its id.

    `is_job` where a batch job says it, which is not there between its runs.
    """

    batch: str
    current: Revision
    windows: list[Window]
    predictions: list[Prediction]
    classes: dict[Served, Classes] = {}
    is_job: bool = False


class Ingest:
    """Takes batches and labels into a project's store. Thread-safe; nothing waits in it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._source = RegistrySource(project)
        self._sequence = itertools.count(1)
        self._lock = threading.Lock()
        self._worker = 0
        self._windows: Accumulating | None = None
        self._edges: dict[Served, Edges | None] = {}
        self._signatures: dict[tuple[str, int], Signature | None] = {}
        self._clocks_told_ms: dict[str, int] = {}

    def take(
        self, batch: ObservationBatch, sender_ms: int | None = None, *, keeps_payloads: bool = True
    ) -> Taken:
        """Write what a batch says, unless it was taken before.

        Args:
            sender_ms: what the sender's clock said when it sent the batch, where it told.
            keeps_payloads: whether those that the policy asks for are written too.

        Raises:
            NotFound: there is no such endpoint, revision or version.
            Invalid: an observation cannot be one.
            Unavailable: the store cannot be reached; nothing was taken.
        """
        clocks = (sender_ms, now_ms())  # of one moment: others may be before it
        with self._lock:
            self._begin()
            monitor = self.monitor(batch.endpoint)
            told = self._read(batch, monitor.redacted, clocks)
            self._tell_clock(batch.endpoint, told)
            given = self._summarised(batch, told, monitor)
        is_new = self.take_windows(given)
        if is_new and keeps_payloads and monitor.payloads is not None:
            put_batch(self._project.artifacts.backend, batch.batch, told.exchanges, monitor.payloads)
        return Taken(
            batch=batch.batch,
            is_new=is_new,
            observation_count=len(told.exchanges),
            prediction_ids=tuple(one.id for one in told.exchanges)
            if is_new or self.are_recorded([one.id for one in told.exchanges if one.error is None])
            else (),
            answers_left_out=told.left_out,
            sender_ahead_ms=told.ahead_ms,
            moved_to_now=told.moved,
        )

    def _tell_clock(self, endpoint: str, told: Told) -> None:
        """Tell, once an hour and endpoint, that calls come from a clock that is not in step."""
        if not (told.ahead_ms or told.moved):
            return
        words = f"calls of {endpoint} come {tell_sender(told.ahead_ms, told.moved)}"
        if now_ms() - self._clocks_told_ms.get(endpoint, 0) < CLOCKS_TOLD_MS:
            return
        with self._project.database.write() as connection:
            record_event(
                connection, "endpoint.clock_differs", f"endpoint:{endpoint}", self._project.actor, words
            )
        self._clocks_told_ms[endpoint] = now_ms()
        logger.warning("%s", words)

    def are_recorded(self, ids: Sequence[str]) -> bool:
        """Return whether the store knows all these predictions."""
        with self._project.database.read() as connection:
            return set(ids) <= {one.id for one in list_predictions(connection, ids)}

    def _read(
        self, batch: ObservationBatch, redacted: tuple[str, ...], clocks: tuple[int | None, int]
    ) -> Told:
        numbers = {one.revision for one in batch.observations} | {one.revision for one in batch.missed}
        with self._project.database.read() as connection:
            current = get_revision(connection, batch.endpoint)
            known = {
                number: find_revision(connection, batch.endpoint, number) for number in numbers if number
            }
            default = None
            if batch.model is not None:
                default = _version_of(current, resolve_version(connection, batch.model))
        revisions: dict[int | None, Revision] = {
            number: found for number, found in known.items() if found is not None
        }
        exchanging = Exchanging(current, revisions, default, self._signature, redacted, *clocks)
        return exchanging.read(batch)

    def _summarised(self, batch: ObservationBatch, told: Told, monitor: MonitorSettings) -> WindowsOfBatch:
        with self._project.database.read() as connection:
            known = read_classes(connection, {batch.endpoint})
        by_window: dict[WindowKey, list[Exchange]] = {}
        predictions = []
        for one in told.exchanges:
            key = key_of(one, monitor)
            by_window.setdefault(key, []).append(one)
            if one.error is None:
                predictions.append(prediction_of(one, key, monitor))
        found = [
            summarise(
                key,
                exchanges,
                monitor,
                self._edges_of(key, told.models),
                monitor.classes or known.of(Served(key.endpoint, key.revision, key.version)),
            )
            for key, exchanges in by_window.items()
        ]
        for calls in told.missed:
            counts = Missed(calls.request_count, calls.error_count, calls.request_count)
            found.append(summarise_missed(told.key_of(calls, monitor), counts, monitor))
        return WindowsOfBatch(batch=batch.batch, current=told.current, windows=found, predictions=predictions)

    def take_windows(self, given: WindowsOfBatch) -> bool:
        """Write windows and predictions, unless the batch was taken before; whether it is new.

        Raises:
            Unavailable: the store cannot be reached; nothing was taken.
        """
        with self._lock:
            windows = self._begin()
            try:
                is_new = self._write(given, windows)
            except BaseException:
                windows.discard()
                raise
            windows.settle(now_ms() / 1000)
        return is_new

    def _write(self, given: WindowsOfBatch, windows: Accumulating) -> bool:
        for one in given.windows:
            windows.add(one)

        def monitor_of(endpoint: str) -> MonitorSettings:
            return _monitor(connection, endpoint)

        with self._project.database.write() as connection:
            if not add_batch(connection, given.batch, now_ms()):
                windows.discard()
                return False
            windows.write(connection)
            add_predictions(connection, given.predictions)
            add_classes(connection, given.classes)
            join_waiting(connection, given.predictions, monitor_of, (self._worker, self._sequence))
            report_revision(connection, self._worker, _told_of(given.current, BATCH if given.is_job else ""))
        return True

    @property
    def worker(self) -> int:
        """The number of this process, which is in the ids that it makes."""
        with self._lock:
            self._begin()
            return self._worker

    def monitor(self, endpoint: str) -> MonitorSettings:
        """Return how an endpoint is watched."""
        with self._project.database.read() as connection:
            return _monitor(connection, endpoint)

    def add_labels(self, endpoint: str, labels: Sequence[Label]) -> LabelCounts:
        """Join labels to their predictions, durably when it returns.

        Raises:
            Unavailable: the store cannot be reached; nothing was taken.
        """
        with self._lock:
            self._begin()
            monitor = self.monitor(endpoint)
            with self._project.database.write() as connection:
                return join_labels(connection, endpoint, labels, monitor, (self._worker, self._sequence))

    def join_late(self, since_ms: int) -> int:
        """Join labels that have waited since a time and whose predictions are stored by now; return how many.

        Two transactions of PostgreSQL that store a label and its prediction at once do not see each other.

        Raises:
            Unavailable: the store cannot be reached.
        """
        with self._project.database.read() as connection:
            waiting = ids_since(connection, since_ms, LATE_MAX)
            ids = [one for each in waiting.values() for one in each]
            is_there = bool(ids) and bool(list_predictions(connection, ids))
        if not is_there:
            return 0
        with self._lock:
            self._begin()
            with self._project.database.write() as connection:
                writer = (self._worker, self._sequence)
                return sum(
                    join_kept(connection, endpoint, ids, _monitor(connection, endpoint), writer)
                    for endpoint, ids in waiting.items()
                )

    def _begin(self) -> Accumulating:
        """Take a number as every process that writes windows has one; it serves nothing, so it does not beat."""
        if self._windows is None:
            with self._project.database.write() as connection:
                self._worker = register_worker(
                    connection, host=socket.gethostname(), pid=os.getpid(), url=NO_URL, time_ms=now_ms()
                )
                beat(connection, self._worker, 0)
            self._windows = Accumulating(self._worker, self._sequence, UNWRITTEN_MAX)
        return self._windows

    def _edges_of(self, key: WindowKey, models: dict[int, str]) -> Edges | None:
        """Return where a version's features are counted exactly; without a reference sketches do alone."""
        served = Served(key.endpoint, key.revision, key.version)
        if served not in self._edges:
            try:
                self._edges[served] = self._source.edges(models[key.revision], key.version)
            except PenstockError:
                return None
        return self._edges[served]

    def _signature(self, model: str, version: int) -> Signature | None:
        if (model, version) not in self._signatures:
            self._signatures[model, version] = find_signature(self._project, model, version)
        return self._signatures[model, version]


def _monitor(connection: sa.Connection, endpoint: str) -> MonitorSettings:
    policy = find_readable_policy(connection, endpoint)
    return MonitorSettings() if policy is None else policy.settings.monitor


def _told_of(current: Revision, message: str) -> WorkerRevision:
    return WorkerRevision(
        endpoint=current.endpoint, revision=current.number, state="ready", message=message, time_ms=now_ms()
    )


def _version_of(current: Revision, version: ModelVersion) -> int:
    if version.model != current.model:
        raise bad_batch(
            f"{version.ref} is another model than {current.model}, which {current.endpoint} serves"
        )
    return version.number
