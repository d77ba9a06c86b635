"""Live traffic into windows: the recorder and the label join behind a serve process.

The request path only appends to a queue. A background thread turns what came into sketches and writes
partial windows and predictions, all of a flush in one transaction. Labels are joined and written in one
transaction before the client gets its answer, so that an acknowledged label is counted exactly once.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.base.store.database import Database
from penstock.flows.production.live.accumulating import Accumulating
from penstock.flows.production.live.joining import Join, watched
from penstock.flows.production.live.room import MAX_BYTES, Room, size_of, size_of_prediction
from penstock.monitoring.guardrails.blocks import count_runs
from penstock.monitoring.labels import is_nonfinite
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.serving.classes import Classes, Served, add_classes
from penstock.serving.matching import iterate_columns
from penstock.serving.predictions import (
    Prediction,
    add_predictions,
    encode_columns,
)
from penstock.serving.recorder import Exchange, Label, LabelCounts, RecorderState
from penstock.serving.traffic import position

logger = logging.getLogger(__name__)
UNWRITTEN_MAX = 1_000
"""Windows kept whole while the store is away; of older ones only the counts are."""
PROMPT_S, EARLY_MAX = 0.1, 20
"""How soon bad answers are written, and how many flushes in a row come before their time for them."""
SAMPLE_SHIFT = 0x51ED2701
"""Moves the feature sample away from the traffic split, which follows the same sequence."""


class LiveRecorder:
    """The recorder and labels of one serve process. Thread-safe.

    Args:
        worker: this process's number; with a running number it makes partial windows unique.
        monitors: settings by endpoint; others have the defaults.
        max_bytes: what requests may take that wait to be written, about. Of one that comes when there is no
            room only the counts are kept; that is counted too.
    """

    def __init__(
        self,
        database: Database,
        worker: int,
        monitors: Mapping[str, MonitorSettings] | None = None,
        *,
        flush_s: float = 1.0,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._database = database
        self._worker = worker
        self._monitors = dict(monitors or {})
        self._flush_s = flush_s
        self._room = Room(max_bytes)
        self._queue: deque[Exchange] = deque()
        self._open: dict[WindowKey, list[Exchange]] = {}
        self._predictions: list[Prediction] = []
        self._classes: dict[Served, Classes] = {}
        self._told: set[Served] = set()
        self._edges: dict[Served, Mapping[str, npt.NDArray[np.float64]]] = {}
        self._sequence = itertools.count(1)
        self._windows = Accumulating(worker, self._sequence, UNWRITTEN_MAX)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._bad = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-recorder", daemon=True)
        self._thread.start()

    def watch(self, monitors: Mapping[str, MonitorSettings]) -> None:
        """Take the settings by endpoint that hold from now on."""
        if monitors != self._monitors:
            self._monitors = dict(monitors)

    def mark(self, served: Served, edges: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Count the features of a version exactly at the edges of its reference from now on."""
        self._edges = {**self._edges, served: edges}

    def record(self, observation: Exchange) -> None:
        """Take one observation; lost only when the process is killed before the next flush."""
        if self._room.take(size_of(observation)):
            self._queue.append(observation)
        else:
            self._room.miss(self._key(observation), has_failed=observation.error is not None)
        if _is_bad(observation):
            self._bad.set()

    @property
    def state(self) -> RecorderState:
        """How full it is, and what it had no room for."""
        return self._room.state

    def close(self) -> None:
        """Write what waits and stop."""
        self._stop.set()
        self._bad.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        early = 0
        while True:
            pause_s = 0.0
            if early >= EARLY_MAX:
                pause_s, early = self._interval_s(), 0
            elif self._bad.wait(self._interval_s()):
                pause_s, early = PROMPT_S, early + 1
            else:
                early = 0
            if self._stop.wait(pause_s):
                break
            self._bad.clear()
            try:
                self.flush()
            except PenstockError as error:
                logger.warning("monitoring data wait for the store: %s", error.message)
            except Exception:
                logger.exception("a flush of monitoring data failed")

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
            if not self._windows.has_news and not self._predictions:
                return
            with self._database.write() as connection:
                self._windows.write(connection)
                add_predictions(connection, self._predictions)
                add_classes(connection, self._classes)
            self._classes.clear()
            self._windows.settle(now_ms() / 1000)
            self._forget_predictions()

    def _summarise_open(self) -> None:
        """Turn what came into what is known of its windows, and give its room back."""
        for key, observations in self._open.items():
            self._windows.add(self._summarise(key, observations))
            self._room.give_back(sum(map(size_of, observations)))
        self._open.clear()
        for key, missed in self._room.missed().items():
            window = Window(
                key=key,
                window_s=self._monitor(key.endpoint).window_s,
                request_count=missed.request_count,
                error_count=missed.error_count,
                error_run_count=None if missed.error_count else 0,
                dropped_count=missed.dropped_count,
            )
            self._windows.add(window)

    def _forget_predictions(self) -> None:
        """Give the room of predictions back that were written."""
        self._room.give_back(sum(map(size_of_prediction, self._predictions)))
        self._predictions.clear()

    def _drain(self) -> None:
        """Move what was queued to the open windows and to the predictions that are to be written."""
        for _ in range(len(self._queue)):
            one = self._queue.popleft()
            key = self._key(one)
            self._open.setdefault(key, []).append(one)
            served = Served(one.endpoint, one.revision, one.version)
            if one.classes is not None and served not in self._told:
                self._told.add(served)
                self._classes[served] = one.classes
            if one.error is None:
                self._keep(one, key)

    def _keep(self, one: Exchange, key: WindowKey) -> None:
        """Keep an answer until it is written, if there is room; its label cannot be joined otherwise."""
        prediction = Prediction(
            id=one.id,
            version=one.version,
            endpoint=one.endpoint,
            revision=one.revision,
            route=one.route,
            window_start_s=key.start_s,
            outputs=encode_columns(one.outputs),
            row_count=one.row_count,
            features=encode_columns(one.inputs) if self._is_sampled(one) else None,
        )
        if self._room.take(size_of_prediction(prediction)):
            self._predictions.append(prediction)
        else:
            self._room.miss(key, is_counted=True)

    def _monitor(self, endpoint: str) -> MonitorSettings:
        return self._monitors.get(endpoint, _DEFAULT)

    def _is_sampled(self, one: Exchange) -> bool:
        return position(one.counter + SAMPLE_SHIFT) < self._monitor(one.endpoint).feature_ratio

    def _key(self, one: Exchange) -> WindowKey:
        span = self._monitor(one.endpoint).window_s
        start_s = one.time_ms // 1000 // span * span
        return WindowKey(one.endpoint, start_s, one.revision, one.version, one.route)

    def _summarise(self, key: WindowKey, observations: Sequence[Exchange]) -> Window:
        latency = LatencyHistogram()
        latency.update([one.latency_s for one in observations])
        edges = self._edges.get(Served(key.endpoint, key.revision, key.version))
        features, outputs = Profile(edges=edges), Profile()
        features.update(
            watched([one.inputs for one in observations]), sum(one.row_count for one in observations)
        )
        answered = [one for one in observations if one.error is None]
        stacked = watched([one.outputs for one in answered])
        outputs.update(
            {**stacked, **watched([one.differences for one in answered])},
            sum(one.row_count for one in answered),
        )
        odd_rows = [0] * len(observations)
        if any(is_nonfinite(values).any() for values in stacked.values()):
            odd_rows = [_nonfinite_rows(one) for one in observations]
        borne = self._monitor(key.endpoint).nonfinite_max_ratio
        odd = [rows > borne * one.row_count for rows, one in zip(odd_rows, observations, strict=True)]
        return Window(
            key=key,
            window_s=self._monitor(key.endpoint).window_s,
            request_count=len(observations),
            error_count=len(observations) - len(answered),
            error_run_count=count_runs([one.error is not None for one in observations]),
            row_count=features.row_count,
            latency=latency,
            features=features,
            outputs=outputs,
            nonfinite_count=sum(odd),
            nonfinite_run_count=count_runs(odd),
            nonfinite_row_count=sum(odd_rows),
        )

    def add_labels(self, endpoint: str, labels: Sequence[Label]) -> LabelCounts:
        """Join labels to their predictions and write both the labels and what they say of quality.

        Raises:
            Unavailable: the store cannot be reached; nothing was taken.
        """
        with self._lock:
            self._drain()
            with self._database.write() as connection:
                add_predictions(connection, self._predictions)
                add_classes(connection, self._classes)
                join = Join(connection, labels, self._monitor(endpoint))
                join.run()
                partials = [
                    Partial(
                        window=Window(key=key, window_s=self._monitor(endpoint).window_s, quality=quality),
                        worker=self._worker,
                        sequence=next(self._sequence),
                    )
                    for key, quality in join.qualities.items()
                    if not quality.is_empty
                ]
                add_partials(connection, partials)
            self._forget_predictions()
            self._classes.clear()
        return join.counts()


_DEFAULT = MonitorSettings()


def _is_bad(one: Exchange) -> bool:
    """Whether it failed or answered something that is no finite number; 1 us an output."""
    return one.error is not None or any(
        values.dtype.kind in "fc" and not np.isfinite(values).all() for values in one.outputs.values()
    )


def _nonfinite_rows(one: Exchange) -> int:
    """Return in how many rows some output is no finite number."""
    found = [is_nonfinite(values) for _, values in iterate_columns(one.outputs)]
    return int(np.any(found, axis=0).sum()) if found else 0
