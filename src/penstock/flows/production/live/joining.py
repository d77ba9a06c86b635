"""Labels to their predictions: one feedback request within its transaction.

What a label says is scored for the window of its prediction. Another value for a row that has one takes the
place of the one before, also in the counts of the window; the one before stays in the store.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.numbers import counted
from penstock.monitoring.quality.counts import request_number
from penstock.monitoring.quality.labels import is_same, misfit, score
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials, labelled_start
from penstock.serving.classes import Classes, Served, list_classes
from penstock.serving.loaders.model import Array, Columns, Matrix, join_columns
from penstock.serving.matching import iterate_columns
from penstock.serving.predictions.stored import (
    Prediction,
    StoredLabel,
    add_labels,
    current_label,
    decode_columns,
    list_labels,
    list_predictions,
)
from penstock.serving.recorder import Label, LabelCounts

REASONS_MAX = 20
"""Misfits whose reason is told in one answer."""


def stack(parts: Sequence[Columns]) -> dict[str, Array]:
    """Return the rows of all parts, by column; a column may be absent from some."""
    if not parts:
        return {}
    stacked: dict[str, list[Array]] = {}
    for part in parts:
        for name, values in part.items():
            stacked.setdefault(name, []).append(values)
    return {name: np.concatenate(arrays) for name, arrays in stacked.items()}


def watched(parts: Sequence[Columns]) -> dict[str, Array]:
    """Return the rows of all parts by what is watched: columns, and the columns of narrow tensors.

    Requests whose columns lie in one matrix are joined before they are taken apart: two hundred times faster for
    1,000 requests of 64 columns.
    """
    matrices: dict[int, list[Columns]] = {}
    stacked: dict[str, list[Array]] = {}
    for part in parts:
        if type(part) is Matrix:
            matrices.setdefault(id(part.names), []).append(part)  # hashing 64 names takes as long as all else
        elif part:
            _add(stacked, part)
    for group in matrices.values():
        _add(stacked, join_columns(group))
    return {name: one[0] if len(one) == 1 else np.concatenate(one) for name, one in stacked.items()}


def _add(stacked: dict[str, list[Array]], part: Columns) -> None:
    for name, values in part.items():
        if values.ndim == 1:
            stacked.setdefault(name, []).append(values)
        else:
            for own, column in iterate_columns({name: values}):
                stacked.setdefault(own, []).append(column)


class Join:
    """One feedback request within its transaction."""

    def __init__(
        self, connection: sa.Connection, endpoint: str, labels: Sequence[Label], monitor: MonitorSettings
    ) -> None:
        self._connection, self._endpoint = connection, endpoint
        self._labels = labels
        self._monitor = monitor
        self.qualities: dict[WindowKey, Quality] = {}
        self._outcomes = {"accepted": 0, "corrected": 0, "unknown": 0, "duplicate": 0, "misfit": 0}
        self._reasons: dict[str, str] = {}
        self._known: dict[str, list[Any]] = {}
        self._last_ms: dict[str, int] = {}
        self._stored: list[StoredLabel] = []
        self._classes: dict[Served, Classes] = {}
        self._by_version: dict[tuple[str, int], Classes] = {}

    def run(self) -> None:
        """Write what is new of the labels and collect what it changes of the quality of each window."""
        ids = {label.text for label in self._labels}
        rows: dict[str, list[Prediction]] = {}
        for row in list_predictions(self._connection, ids, lock=True):
            if row.endpoint == self._endpoint:
                rows.setdefault(row.id, []).append(row)
        for stored in list_labels(self._connection, rows):
            text = stored.prediction_id
            self._known[text] = current_label(self._known.get(text), stored.values)
            self._last_ms[text] = stored.received_ms
        self._classes = list_classes(
            self._connection, {row.endpoint for each in rows.values() for row in each}
        )
        # a version has the same classes under every revision; a watched service tells none
        self._by_version = {(one.endpoint, one.version): known for one, known in self._classes.items()}
        before = dict(self._known)
        received_ms = now_ms()
        for label in self._labels:
            self._outcomes[self._take(label, rows.get(label.text), received_ms)] += 1
        add_labels(self._connection, self._stored)
        changed = {one.prediction_id for one in self._stored}
        self._collect(rows, before, sorted(changed))

    def _take(self, label: Label, found: list[Prediction] | None, received_ms: int) -> str:
        """Keep what a label says that is new, and return what became of it."""
        if not found:
            return "unknown"
        if len(label.values) != found[0].row_count:
            self._reasons[label.text] = (
                f"{counted(len(label.values), 'label')} for {counted(found[0].row_count, 'row')}"
            )
            return "misfit"
        if all(value is None for value in label.values):
            self._reasons[label.text] = "null is no label: it says that a row's label is not known"
            return "misfit"
        answered = next((row for row in found if row.route != "shadow"), found[0])
        reason = misfit(decode_columns(answered.outputs), label.values, classes=self._classes_of(answered))
        if reason is not None:
            self._reasons[label.text] = reason
            return "misfit"
        before = self._known.get(label.text) or [None] * len(label.values)
        values = _different(before, label.values)
        if all(value is None for value in values):
            return "duplicate"
        self._known[label.text] = current_label(before, values)
        self._last_ms[label.text] = max(received_ms, self._last_ms.get(label.text, 0) + 1)
        self._stored.append(
            StoredLabel(
                prediction_id=label.text,
                received_ms=self._last_ms[label.text],
                values=values,
                sent_by=label.by,
            )
        )
        replaces = (old is not None and new is not None for old, new in zip(before, values, strict=True))
        return "corrected" if any(replaces) else "accepted"

    def _collect(
        self, rows: Mapping[str, list[Prediction]], before: Mapping[str, list[Any]], changed: Sequence[str]
    ) -> None:
        """Collect the quality that new values bring, less what those brought that they replace."""
        new: dict[WindowKey, list[tuple[Prediction, list[Any]]]] = {}
        old: dict[WindowKey, list[tuple[Prediction, list[Any]]]] = {}
        for text in changed:
            now = self._known[text]
            then = before.get(text) or [None] * len(now)
            added, gone = _different(then, now), _different(now, then)
            replaced = [one if more is not None else None for one, more in zip(gone, added, strict=True)]
            for row in rows[text]:
                key = WindowKey(row.endpoint, row.window_start_s, row.revision, row.version, row.route)
                new.setdefault(key, []).append((row, added))
                if any(value is not None for value in replaced):
                    old.setdefault(key, []).append((row, replaced))
        self.qualities = {key: self._score(parts) for key, parts in new.items()}
        for key, parts in old.items():
            start_s = labelled_start(self._connection, key)
            if start_s is None:
                continue  # the window is deleted, and what the old labels said with it
            quality = self.qualities.pop(key).without(self._score(parts))
            place = msgspec.structs.replace(key, start_s=start_s)
            there = self.qualities.get(place)
            self.qualities[place] = quality if there is None else there.merge(quality)

    def _score(self, parts: Sequence[tuple[Prediction, list[Any]]]) -> Quality:
        """Score rows; answers of one window may differ in their outputs where a service of one's own gave them."""
        alike: dict[tuple[str, ...], list[tuple[Columns, Prediction, list[Any]]]] = {}
        for row, values in parts:
            outputs = {name: one for name, one in decode_columns(row.outputs).items() if one.ndim == 1}
            alike.setdefault(tuple(sorted(outputs)), []).append((outputs, row, values))
        scored = [
            score(
                stack([outputs for outputs, _, _ in group]),
                [value for _, _, values in group for value in values],
                requests=[request_number(row.id) for _, row, values in group for _ in values],
                classes=self._classes_of(parts[0][0]),
                positive=self._monitor.positive,
            )
            for group in alike.values()
        ]
        return functools.reduce(Quality.merge, scored)

    def _classes_of(self, row: Prediction) -> Classes | None:
        """Return the classes a label may be of: those of the policy, else those the model knows."""
        if self._monitor.classes is not None:
            return self._monitor.classes
        known = self._classes.get(Served(row.endpoint, row.revision, row.version))
        return known or self._by_version.get((row.endpoint, row.version))

    def counts(self) -> LabelCounts:
        """Return what became of the labels."""
        return LabelCounts(**self._outcomes, reasons=dict(list(self._reasons.items())[:REASONS_MAX]))


def join_labels(
    connection: sa.Connection,
    endpoint: str,
    labels: Sequence[Label],
    monitor: MonitorSettings,
    writer: tuple[int, Iterator[int]],
) -> LabelCounts:
    """Join labels to their predictions in the caller's transaction, and write what they say of quality.

    Args:
        writer: the number of the process that writes, and its running numbers.
    """
    worker, sequence = writer
    join = Join(connection, endpoint, labels, monitor)
    join.run()
    partials = [
        Partial(
            window=Window(key=key, window_s=monitor.window_s, quality=quality),
            worker=worker,
            sequence=next(sequence),
        )
        for key, quality in join.qualities.items()
        if not quality.is_empty
    ]
    add_partials(connection, partials)
    return join.counts()


def _different(before: Sequence[Any], now: Sequence[Any]) -> list[Any]:
    """Return the values of now, None where they say nothing or the same as before."""
    return [None if new is None or is_same(old, new) else new for old, new in zip(before, now, strict=True)]
