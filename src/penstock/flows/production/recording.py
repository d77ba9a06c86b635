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
from typing import Any

import numpy as np
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.base.store.database import Database
from penstock.monitoring.guardrails.blocks import count_runs
from penstock.monitoring.labels import misfit, score
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality import Quality
from penstock.monitoring.quality_counts import request_number
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.serving.loaders.model import Array, Columns
from penstock.serving.matching import iterate_columns
from penstock.serving.predictions import (
    Prediction,
    StoredLabel,
    add_labels,
    add_predictions,
    decode_columns,
    encode_columns,
    list_labels,
    list_predictions,
)
from penstock.serving.recorder import Exchange, Label, LabelCounts
from penstock.serving.traffic import position

logger = logging.getLogger(__name__)
QUEUE_MAX = 200_000
"""Requests that wait for a flush; beyond, the oldest are forgotten and counted."""
UNWRITTEN_MAX = 5_000
"""Partial windows kept while the store is away."""
REASONS_MAX = 20
"""Misfits whose reason is told in one answer."""
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
        self._sequence = itertools.count(1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-recorder", daemon=True)
        self._thread.start()

    def watch(self, monitors: Mapping[str, MonitorSettings]) -> None:
        """Take the settings by endpoint that hold from now on."""
        if monitors != self._monitors:
            self._monitors = dict(monitors)

    def record(self, observation: Exchange) -> None:
        """Take one observation; lost only when the process is killed before the next flush."""
        self._queue.append(observation)

    def close(self) -> None:
        """Write what waits and stop."""
        self._stop.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s()):
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
            self._partials.clear()
            self._predictions.clear()

    def _drain(self) -> None:
        """Move what was queued to the open windows and to the predictions that are to be written."""
        for _ in range(len(self._queue)):
            one = self._queue.popleft()
            key = self._key(one)
            self._open.setdefault(key, []).append(one)
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
        features, outputs = Profile(), Profile()
        features.update(
            _watched([one.inputs for one in observations]), sum(one.row_count for one in observations)
        )
        answered = [one for one in observations if one.error is None]
        outputs.update(_watched([one.outputs for one in answered]), sum(one.row_count for one in answered))
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
                join = _Join(connection, labels, self._monitor(endpoint))
                join.run()
                qualities = join.qualities
                partials = [
                    Partial(
                        window=Window(key=key, window_s=self._monitor(endpoint).window_s, quality=quality),
                        worker=self._worker,
                        sequence=next(self._sequence),
                    )
                    for key, quality in qualities.items()
                ]
                add_partials(connection, partials)
            self._predictions.clear()
        return join.counts()


_DEFAULT = MonitorSettings()


def _watched(parts: Sequence[Columns]) -> dict[str, Array]:
    """Return the rows of all parts by what is watched: columns, and the columns of narrow tensors."""
    return _stack([dict(iterate_columns(part)) for part in parts])


def _stack(parts: Sequence[Columns]) -> dict[str, Array]:
    """Return the rows of all parts, by column; a column may be absent from some."""
    if not parts:
        return {}
    stacked: dict[str, list[Array]] = {}
    for part in parts:
        for name, values in part.items():
            stacked.setdefault(name, []).append(values)
    return {name: np.concatenate(arrays) for name, arrays in stacked.items()}


class _Join:
    """One feedback request within its transaction."""

    def __init__(self, connection: sa.Connection, labels: Sequence[Label], monitor: MonitorSettings) -> None:
        self._connection = connection
        self._labels = labels
        self._monitor = monitor
        self.qualities: dict[WindowKey, Quality] = {}
        self._accepted: set[str] = set()
        self._outcomes = {"accepted": 0, "unknown": 0, "duplicate": 0, "misfit": 0}
        self._reasons: dict[str, str] = {}

    def run(self) -> None:
        """Write what is new of the labels and collect the quality it adds to each window."""
        ids = {label.text for label in self._labels}
        rows: dict[str, list[Prediction]] = {}
        for row in list_predictions(self._connection, ids, lock=True):
            rows.setdefault(row.id, []).append(row)
        known: dict[str, list[Any]] = {}
        last_ms: dict[str, int] = {}
        for stored in list_labels(self._connection, rows):
            known[stored.prediction_id] = _filled(known.get(stored.prediction_id), stored.values)
            last_ms[stored.prediction_id] = stored.received_ms
        new: dict[str, list[Any]] = {}
        for label in self._labels:
            outcome = self._take(label, rows, known, new)
            self._outcomes[outcome] += 1
        received_ms = now_ms()
        add_labels(
            self._connection,
            [
                StoredLabel(
                    prediction_id=text, received_ms=max(received_ms, last_ms.get(text, 0) + 1), values=values
                )
                for text, values in new.items()
            ],
        )
        self._collect(rows, new)

    def _take(
        self,
        label: Label,
        rows: Mapping[str, list[Prediction]],
        known: dict[str, list[Any]],
        new: dict[str, list[Any]],
    ) -> str:
        found = rows.get(label.text)
        if not found:
            return "unknown"
        if len(label.values) != found[0].row_count:
            self._reasons[label.text] = f"{len(label.values)} labels for {found[0].row_count} rows"
            return "misfit"
        outputs = decode_columns(found[0].outputs)
        reason = misfit(outputs, label.values, classes=self._monitor.classes)
        if reason is not None:
            self._reasons[label.text] = reason
            return "misfit"
        before = known.get(label.text) or [None] * len(label.values)
        added = [value if old is None else None for old, value in zip(before, label.values, strict=True)]
        if all(value is None for value in added):
            return "duplicate"
        known[label.text] = _filled(before, added)
        new[label.text] = _filled(new.get(label.text), added)
        return "accepted"

    def _collect(self, rows: Mapping[str, list[Prediction]], new: Mapping[str, list[Any]]) -> None:
        grouped: dict[WindowKey, list[tuple[Columns, list[Any], int]]] = {}
        for text, values in new.items():
            for row in rows[text]:
                key = WindowKey(row.endpoint, row.window_start_s, row.revision, row.version, row.route)
                grouped.setdefault(key, []).append(
                    (decode_columns(row.outputs), values, request_number(text))
                )
        for key, parts in grouped.items():
            self.qualities[key] = score(
                _stack([outputs for outputs, _, _ in parts]),
                [value for _, values, _ in parts for value in values],
                requests=[number for _, values, number in parts for _ in values],
                classes=self._monitor.classes,
                positive=self._monitor.positive,
            )

    def counts(self) -> LabelCounts:
        """Return what became of the labels."""
        return LabelCounts(**self._outcomes, reasons=dict(list(self._reasons.items())[:REASONS_MAX]))


def _filled(before: list[Any] | None, added: list[Any]) -> list[Any]:
    """Return the values known before, with the unknown ones filled in."""
    if before is None:
        return list(added)
    return [value if old is None else old for old, value in zip(before, added, strict=True)]
