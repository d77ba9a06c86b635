"""Live traffic into windows: the recorder and the label join behind a serve process.

The request path only appends to a queue. A background thread turns what came into sketches and writes
partial windows and predictions, all of a flush in one transaction. Labels are joined and written in one
transaction before the client gets its answer, so that an acknowledged label is counted exactly once.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from penstock.base.background import Trouble
from penstock.base.clock import now_ms
from penstock.base.store.database import Database
from penstock.base.threads import begin, behind_others, give_way
from penstock.flows.production.live.accumulating import Accumulating
from penstock.flows.production.live.failures import Failures
from penstock.flows.production.live.joining import join_labels, join_waiting_for
from penstock.flows.production.live.late import Late, LateRecords, counts_of
from penstock.flows.production.live.room import MAX_BYTES, Room, portions_of, size_of_answers, weigh
from penstock.flows.production.live.summarising import answers_of, key_of, summarise, summarise_missed
from penstock.flows.production.payloads.keeping import PayloadLog
from penstock.monitoring.refusals import Refusal, add_refusals
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import WindowKey
from penstock.serving.classes import Classes, Served, add_classes
from penstock.serving.predictions.stored import AnswerRow, Answers, add_answers
from penstock.serving.recorder import Exchange, Label, LabelCounts, RecorderState

logger = logging.getLogger(__name__)
UNWRITTEN_MAX = 1_000
"""Windows kept whole while the store is away; of older ones only the counts are."""
REFUSALS_MAX = 10_000
"""Minutes, endpoints and codes of refused requests that wait while the store is away."""
KEPT_AT_ONCE = 200
"""Answers that are packed before the thread gives way to requests: about half a millisecond."""
PROMPT_S, EARLY_MAX = 0.1, 20
"""How soon bad answers are written, and how many flushes in a row come before their time for them."""


@dataclass(slots=True)
class _Open:
    """What came of a window since the last flush, and how much room it takes."""

    exchanges: list[Exchange]
    size_bytes: int


class LiveRecorder:
    """The recorder and labels of one serve process. Thread-safe.

    Args:
        worker: this process's number; with a running number it makes partial windows unique.
        monitors: settings by endpoint; others have the defaults.
        max_bytes: what requests may take that wait to be written, about. Of one that comes when there is no
            room only the counts are kept; that is counted too.
        payloads: takes the sample of requests and answers that is kept whole.
        late: keeps what cannot be written by the end; by default it is lost, and told.
    """

    def __init__(
        self,
        database: Database,
        worker: int,
        monitors: Mapping[str, MonitorSettings] | None = None,
        *,
        flush_s: float = 1.0,
        max_bytes: int = MAX_BYTES,
        payloads: PayloadLog | None = None,
        late: LateRecords | None = None,
    ) -> None:
        self._database = database
        self._worker = worker
        self._monitors = dict(monitors or {})
        self._flush_s = flush_s
        self._room = Room(max_bytes)
        self._payloads = payloads
        self._late = late or LateRecords(None)
        self._queue: deque[tuple[Exchange, int]] = deque()
        self._open: dict[WindowKey, _Open] = {}
        self._answers: list[Answers] = []
        self._answers_bytes = 0
        self._drained_count = 0
        """Requests that are in no window of the store yet."""
        self._classes: dict[Served, Classes] = {}
        self._told: set[Served] = set()
        self._unkept: set[Served] = set()
        self._failures = Failures(f"worker:{worker}")
        self._edges: dict[Served, Mapping[str, npt.NDArray[np.float64]]] = {}
        self._refused: Counter[Refusal] = Counter()
        self._refusing = threading.Lock()
        self._sequence = itertools.count(1)
        self._windows = Accumulating(worker, self._sequence, UNWRITTEN_MAX)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._bad, self._wake = threading.Event(), threading.Event()
        self._ended = begin("penstock-recorder", self._run)

    def watch(self, monitors: Mapping[str, MonitorSettings]) -> None:
        """Take the settings by endpoint that hold from now on."""
        if monitors != self._monitors:
            self._monitors = dict(monitors)

    def mark(self, served: Served, edges: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Count the features of a version exactly at the edges of its reference from now on."""
        self._edges = {**self._edges, served: edges}

    def record(self, observation: Exchange) -> None:
        """Take one observation; lost only when the process is killed before the next flush."""
        size_bytes, is_bad = weigh(observation)
        if self._room.take(size_bytes):
            self._queue.append((observation, size_bytes))
            if self._room.is_crowded:
                self._wake.set()
        else:
            self._room.miss(self._key(observation), has_failed=observation.error is not None)
        if is_bad and not self._bad.is_set():
            self._bad.set()
            self._wake.set()

    def refuse(self, endpoint: str, code: str) -> None:
        """Count a request that was refused for a mistake of who asked."""
        one = Refusal.at(endpoint, now_ms(), code)
        with self._refusing:
            if one in self._refused or len(self._refused) < REFUSALS_MAX:
                self._refused[one] += 1

    @property
    def state(self) -> RecorderState:
        """How full it is, and what it had no room for."""
        return self._room.state

    def close(self) -> None:
        """Write what waits and stop; what cannot be written is kept for the next process."""
        self._stop.set()
        self._wake.set()
        with ExitStack() as ending:
            ending.callback(self._late.close)
            if self._payloads is not None:
                ending.callback(self._payloads.close)
            ending.callback(self._flush_last)
            self._ended.result()

    def _flush_last(self) -> None:
        try:
            self.flush()
        except Exception as error:  # noqa: BLE001  (whatever it is, what waits is kept)
            with self._lock:
                late = Late(
                    rows=self._windows.unwritten(),
                    answers=self._answers,
                    classes=list(self._classes.items()),
                    refused=list(self._refused.items()),
                    request_count=self._drained_count,
                )
                counts = counts_of(late, self._windows.unwritten(counts_only=True))
                self._late.keep(late, counts, error)

    def _run(self) -> None:
        early = 0
        trouble = Trouble("monitoring data wait for the store", over="no longer, what waited is written")
        while True:
            try:
                early = self._await_flush(early)
                if self._stop.is_set():
                    break
                with behind_others():
                    self.flush()
                    self._late.deliver(self._database, self._join, f"worker:{self._worker}")
            except Exception as error:  # noqa: BLE001  (whatever it is, what waits is written later)
                trouble.tell(error)
            else:
                trouble.end()

    def _await_flush(self, early: int) -> int:
        """Wait until it is time for a flush, and condense meanwhile what takes much room.

        Args:
            early: how many flushes in a row came before their time.

        Returns: the same number after the flush that is to come.
        """
        due_s = time.monotonic() + self._interval_s()
        while not self._stop.is_set():
            self._wake.wait(max(0.0, due_s - time.monotonic()))
            self._wake.clear()
            if self._room.is_crowded:
                self._condense()
            if self._bad.is_set() and early < EARLY_MAX:
                self._stop.wait(PROMPT_S)
                self._bad.clear()
                return early + 1
            if time.monotonic() >= due_s:
                self._bad.clear()
                return 0
        return early

    def _condense(self) -> None:
        """Turn what came into what is known of its windows, without writing it."""
        with behind_others(), self._lock:
            self._drain()
            self._summarise_open()

    def _interval_s(self) -> float:
        """Return the time between flushes: the shortest that is asked for."""
        return min(self._flush_s, *(one.flush_s for one in self._monitors.values()), 60.0)

    def flush(self) -> None:
        """Write everything recorded so far in one transaction; a failed flush is repeated by the next.

        Raises:
            Unavailable: the store cannot be reached; what waits is kept.
        """
        with self._lock:
            self._drain()
            self._summarise_open()
            if self._payloads is not None:
                self._payloads.try_flush()
            with self._refusing:
                refused = dict(self._refused)
            if not self._windows.has_news and not self._answers and not refused:
                return
            self._windows.prepare()
            with self._database.write() as connection:
                self._windows.write(connection)
                add_answers(connection, self._answers)
                add_classes(connection, self._classes)
                self._join(connection, self._answers)
                add_refusals(connection, refused)
                self._failures.write(connection)
            self._failures.settle()
            with self._refusing:
                self._refused = +(self._refused - Counter(refused))
            self._room.note_written(self._drained_count)
            self._drained_count = 0
            self._classes.clear()
            self._windows.settle(now_ms() / 1000)
            self._forget_answers()

    def _join(self, connection: sa.Connection, answers: list[Answers]) -> None:
        """Join labels that came before the predictions that are stored now."""
        join_waiting_for(connection, answers, self._monitor, (self._worker, self._sequence))

    def _summarise_open(self) -> None:
        """Turn what came into what is known of its windows, and give its room back.

        What cannot be summarised is counted: it must not keep everything after it from the store.
        """
        while self._open:
            key, found = self._open.popitem()
            for portion, size_bytes in portions_of(found.exchanges, found.size_bytes):
                self._summarise(key, portion)
                self._room.give_back(size_bytes)
        for key, missed in self._room.missed().items():
            self._windows.add(summarise_missed(key, missed, self._monitor(key.endpoint)))

    def _summarise(self, key: WindowKey, observations: Sequence[Exchange]) -> None:
        if self._payloads is not None:
            self._payloads.take(observations, self._monitors)
        edges = self._edges.get(Served(key.endpoint, key.revision, key.version))
        try:
            self._windows.add(summarise(key, observations, self._monitor(key.endpoint), edges))
        except Exception as error:
            self._failures.note(key.endpoint, len(observations), error)
            logger.exception("of %d requests to %s only the counts are kept", len(observations), key.endpoint)
            for one in observations:
                self._room.miss(key, has_failed=one.error is not None)

    def _forget_answers(self) -> None:
        """Give the room of answers back that were written."""
        self._room.give_back(self._answers_bytes)
        self._answers.clear()
        self._answers_bytes = 0

    def _drain(self) -> None:
        """Move what was queued to the open windows and to the answers that are to be written."""
        self._room.note_condensed()
        places: dict[tuple[object, ...], _Open] = {}
        came: dict[WindowKey, _Open] = {}
        count = len(self._queue)
        for _ in range(count):
            one, size_bytes = self._queue.popleft()
            place = (one.endpoint, one.revision, one.version, one.route, one.time_ms // 1000)
            found = places.get(place)
            if found is None:
                found = places[place] = came.setdefault(self._key(one), _Open([], 0))
                self._tell_classes(one)
            found.exchanges.append(one)
            found.size_bytes += size_bytes
        self._drained_count += count
        for key, found in came.items():
            kept = self._open.setdefault(key, _Open([], 0))
            kept.exchanges += found.exchanges
            kept.size_bytes += found.size_bytes
        for key, found in came.items():
            self._keep(found.exchanges, key)

    def _tell_classes(self, one: Exchange) -> None:
        """Note the classes of a version that was not met before."""
        served = Served(one.endpoint, one.revision, one.version)
        if one.classes is not None and served not in self._told:
            self._told.add(served)
            self._classes[served] = one.classes

    def _keep(self, exchanges: Sequence[Exchange], key: WindowKey) -> None:
        """Keep answers until they are written, if there is room; their labels cannot be joined otherwise."""
        monitor = self._monitor(key.endpoint)
        answered = [one for one in exchanges if one.error is None]
        for start in range(0, len(answered), KEPT_AT_ONCE):
            give_way()
            found = self._packed(answered[start : start + KEPT_AT_ONCE], key, monitor)
            size_bytes = size_of_answers(found.rows)
            if not self._room.take(size_bytes):
                found.rows[:] = [row for row in found.rows if self._has_room(row, key)]
                size_bytes = size_of_answers(found.rows)
            if found.rows:
                self._answers.append(found)
                self._answers_bytes += size_bytes

    def _packed(self, answered: Sequence[Exchange], key: WindowKey, monitor: MonitorSettings) -> Answers:
        """Pack answers; one that cannot be packed is counted, and takes no other along."""
        try:
            return answers_of(answered, key, monitor)
        except Exception:  # noqa: BLE001  (which one it is shows one by one)
            found = answers_of([], key, monitor)
            for one in answered:
                try:
                    found.rows.extend(answers_of([one], key, monitor).rows)
                except Exception as error:  # noqa: BLE001  (an output may hold anything)
                    self._note_unkept(one, error)
                    self._room.miss(key, is_counted=True)
            return found

    def _note_unkept(self, one: Exchange, error: Exception) -> None:
        """Say once of a version that an answer of it cannot be kept."""
        self._failures.note(one.endpoint, 1, error)
        served = Served(one.endpoint, one.revision, one.version)
        if served not in self._unkept:
            self._unkept.add(served)
            logger.warning(
                "answers of version %s of %s cannot be kept, and labels not be joined to them: %s: %s",
                one.version,
                one.endpoint,
                type(error).__name__,
                error,
            )

    def _has_room(self, row: AnswerRow, key: WindowKey) -> bool:
        """Take room for one answer of a window, or count that there is none."""
        if self._room.take(size_of_answers([row])):
            return True
        self._room.miss(key, is_counted=True)
        return False

    def _monitor(self, endpoint: str) -> MonitorSettings:
        return self._monitors.get(endpoint, _DEFAULT)

    def _key(self, one: Exchange) -> WindowKey:
        return key_of(one, self._monitor(one.endpoint))

    def add_labels(self, endpoint: str, labels: Sequence[Label]) -> LabelCounts:
        """Join labels to their predictions and write both the labels and what they say of quality.

        Raises:
            Unavailable: the store cannot be reached; nothing was taken.
        """
        with self._lock:
            self._drain()
            with self._database.write() as connection:
                add_answers(connection, self._answers)
                add_classes(connection, self._classes)
                self._join(connection, self._answers)
                counts = join_labels(
                    connection, endpoint, labels, self._monitor(endpoint), (self._worker, self._sequence)
                )
            self._forget_answers()
            self._classes.clear()
        return counts


_DEFAULT = MonitorSettings()
