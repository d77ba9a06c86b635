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
from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from penstock.base.errors import PenstockError
from penstock.base.store.database import Database
from penstock.flows.production.joining import Join, stack
from penstock.monitoring.guardrails.blocks import count_runs
from penstock.monitoring.labels import is_nonfinite
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.serving.classes import Classes, Served, add_classes
from penstock.serving.predictions import (
    Prediction,
    add_predictions,
    encode_columns,
)
from penstock.serving.recorder import Exchange, Label, LabelCounts
from penstock.serving.traffic import position

logger = logging.getLogger(__name__)
QUEUE_MAX = 200_000
"""Requests that wait for a flush; beyond, the oldest are forgotten and counted."""
UNWRITTEN_MAX = 5_000
"""Partial windows kept while the store is away."""
LOOK_S, EARLY_MAX = 0.25, 20
"""How often is looked for a run of bad answers, and how many flushes in a row come before their time for it."""
RUN_OF, RUN_LEAST = 50, 3
SAMPLE_SHIFT = 0x51ED2701
"""Moves the feature sample away from the traffic split, which follows the same sequence."""


class LiveRecorder:
    """The recorder and labels of one serve process. Thread-safe.

    Args:
        worker: this process's number; with a running number it makes partial windows unique.
        monitors: settings by endpoint; others have the defaults.
    """

    def __init__(
        self,
        database: Database,
        worker: int,
        monitors: Mapping[str, MonitorSettings] | None = None,
        *,
        flush_s: float = 1.0,
    ) -> None:
        self._database = database
        self._worker = worker
        self._monitors = dict(monitors or {})
        self._flush_s = flush_s
        self._queue: deque[Exchange] = deque(maxlen=QUEUE_MAX)
        self._open: dict[WindowKey, list[Exchange]] = {}
        self._predictions: list[Prediction] = []
        self._partials: list[Partial] = []
        self._classes: dict[Served, Classes] = {}
        self._told: set[Served] = set()
        self._edges: dict[Served, Mapping[str, npt.NDArray[np.float64]]] = {}
        self._sequence = itertools.count(1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
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
        self._queue.append(observation)

    def close(self) -> None:
        """Write what waits and stop."""
        self._stop.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        due_s, early = time.monotonic() + self._interval_s(), 0
        while not self._stop.wait(min(LOOK_S, self._interval_s())):
            try:
                is_due = time.monotonic() >= due_s
                early = early + 1 if self._sees_a_run() else 0
                if not is_due and not 0 < early <= EARLY_MAX:
                    continue
                due_s = time.monotonic() + self._interval_s()
                self.flush()
            except PenstockError as error:
                logger.warning("monitoring data wait for the store: %s", error.message)
            except Exception:
                logger.exception("a flush of monitoring data failed")

    def _interval_s(self) -> float:
        """Return the time between flushes: the shortest that is asked for."""
        return min(self._flush_s, *(one.flush_s for one in self._monitors.values()), 60.0)

    def _sees_a_run(self) -> bool:
        """Whether most of what a route answered last failed or is no number: nobody waits for a flush then."""
        with self._lock:
            self._drain()
            lately = [observations[-RUN_OF:] for observations in self._open.values()]
        counts = [(sum(map(_is_bad, few)), len(few)) for few in lately]
        return any(bad >= RUN_LEAST and 2 * bad >= count for bad, count in counts)

    def flush(self) -> None:
        """Write everything recorded so far in one transaction; a failed flush is repeated by the next.

        Raises:
            Unavailable: the store cannot be reached; what waits is kept.
        """
        with self._lock:
            self._drain()
            for key, observations in self._open.items():
                window = self._summarise(key, observations)
                self._partials.append(
                    Partial(window=window, worker=self._worker, sequence=next(self._sequence))
                )
            self._open.clear()
            if not self._partials and not self._predictions:
                return
            del self._partials[:-UNWRITTEN_MAX]
            with self._database.write() as connection:
                add_partials(connection, self._partials)
                add_predictions(connection, self._predictions)
                add_classes(connection, self._classes)
            self._partials.clear()
            self._classes.clear()
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
                self._predictions.append(
                    Prediction(
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
                )
        del self._predictions[:-QUEUE_MAX]

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
            stack([one.inputs for one in observations]), sum(one.row_count for one in observations)
        )
        answered = [one for one in observations if one.error is None]
        stacked = stack([one.outputs for one in answered])
        outputs.update(stacked, sum(one.row_count for one in answered))
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
            self._predictions.clear()
            self._classes.clear()
        return join.counts()


_DEFAULT = MonitorSettings()


def _is_bad(one: Exchange) -> bool:
    return one.error is not None or _nonfinite_rows(one) > 0


def _nonfinite_rows(one: Exchange) -> int:
    """Return in how many rows some output is no finite number."""
    found = [is_nonfinite(values) for values in one.outputs.values()]
    return int(np.any(found, axis=0).sum()) if found else 0
