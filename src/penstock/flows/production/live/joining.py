"""Labels to their predictions: one feedback request within its transaction.

What a label says is scored for the window of its prediction. Another value for a row that has one takes the
place of the one before, also in the counts of the window; the one before stays in the store. A label whose prediction
is not stored yet is kept (`penstock.serving.predictions.waiting`), and joined with what comes then.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.clock import now_ms
from penstock.base.errors import Unavailable, described
from penstock.base.numbers import counted
from penstock.flows.production.live.stacking import stack
from penstock.monitoring.quality.counts import request_number
from penstock.monitoring.quality.labels import is_same, kind_of, misfit, score
from penstock.monitoring.quality.live import labelled_start
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials
from penstock.serving.classes import Classes, KnownClasses, Served, read_classes
from penstock.serving.loaders.model import Columns
from penstock.serving.predictions import waiting as waiting_labels
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.ids import parse_prediction_id
from penstock.serving.predictions.runs import nth_id
from penstock.serving.predictions.stored import (
    Answers,
    Prediction,
    StoredLabel,
    add_labels,
    current_label,
    list_labels,
    list_predictions,
)
from penstock.serving.predictions.waiting import (
    KEPT_MS,
    WaitingLabel,
    add_lost,
    add_waiting,
    count_waiting,
    delete_waiting,
    ids_between,
    list_waiting,
)
from penstock.serving.recorder import Label, LabelCounts

logger = logging.getLogger(__name__)
Writer = tuple[int, Iterator[int]]
"""The number of the process that writes partial windows, and its running numbers."""
OUTCOMES = ("accepted", "corrected", "waiting", "unknown", "duplicate", "misfit")
REASONS_MAX = 20
"""Misfits whose reason is told in one answer."""


class Join:
    """One feedback request, or labels that waited, within its transaction.

    Args:
        keeps: whether labels of predictions that are not stored yet are kept until they are.
    """

    def __init__(
        self,
        connection: sa.Connection,
        endpoint: str,
        labels: Sequence[Label],
        monitor: MonitorSettings,
        *,
        keeps: bool = True,
    ) -> None:
        self._connection, self._endpoint = connection, endpoint
        self._labels = labels
        self._monitor = monitor
        self._keeps = keeps
        self.qualities: dict[WindowKey, Quality] = {}
        self.found: set[str] = set()
        self._waiting: dict[str, WaitingLabel] = {}
        self._new_waiting: list[WaitingLabel] = []
        self._elsewhere: set[str] = set()
        self._room: int | None = None
        self._lost_count = 0
        self._outcomes = dict.fromkeys(OUTCOMES, 0)
        self._reasons: dict[str, str] = {}
        self._known: dict[str, list[Any]] = {}
        self._last_ms: dict[str, int] = {}
        self._stored: list[StoredLabel] = []
        self._classes = KnownClasses()

    def run(self) -> None:
        """Write what is new of the labels and collect what it changes of the quality of each window.

        Raises:
            Exception: one of them, or its prediction, is as nobody foresaw; nothing is written then.
        """
        ids = {label.text for label in self._labels}
        rows: dict[str, list[Prediction]] = {}
        for row in list_predictions(self._connection, ids, lock=True):
            if row.endpoint == self._endpoint:
                rows.setdefault(row.id, []).append(row)
            else:
                self._elsewhere.add(row.id)
        self.found = set(rows)
        if self._keeps and len(rows) < len(ids):
            kept = list_waiting(self._connection, self._endpoint, ids - rows.keys())
            self._waiting = {one.prediction_id: one for one in kept}
        for stored in list_labels(self._connection, rows):
            text = stored.prediction_id
            self._known[text] = current_label(self._known.get(text), stored.values)
            self._last_ms[text] = stored.received_ms
        self._classes = read_classes(
            self._connection, {row.endpoint for each in rows.values() for row in each}
        )
        before = dict(self._known)
        received_ms = now_ms()
        for label in self._labels:
            self._outcomes[self._take(label, rows.get(label.text), received_ms)] += 1
        changed = {one.prediction_id for one in self._stored}
        self._collect(rows, before, sorted(changed))
        add_labels(self._connection, self._stored)
        add_waiting(self._connection, self._new_waiting)
        add_lost(self._connection, {(self._endpoint, "full"): self._lost_count}, received_ms)

    def _take(self, label: Label, found: list[Prediction] | None, received_ms: int) -> str:
        """Keep what a label says that is new, and return what became of it."""
        if all(value is None for value in label.values):
            self._reasons[label.text] = "null is no label: it says that a row's label is not known"
            return "misfit"
        if not found:
            return self._wait(label, received_ms) if self._keeps else "unknown"
        if len(label.values) != found[0].row_count:
            self._reasons[label.text] = (
                f"{counted(len(label.values), 'label')} for {counted(found[0].row_count, 'row')}"
            )
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
        came_ms = received_ms if label.received_ms is None else label.received_ms
        self._last_ms[label.text] = max(came_ms, self._last_ms.get(label.text, 0) + 1)
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

    def _wait(self, label: Label, received_ms: int) -> str:
        """Keep a label until its prediction is stored, unless that cannot come any more or too many wait."""
        if label.text in self._elsewhere or label.id.time_ms < received_ms - KEPT_MS:
            return "unknown"
        before = self._waiting.get(label.text)
        if before is not None and before.values == label.values:
            return "waiting"
        if self._room is None:
            self._room = waiting_labels.WAITING_MAX - count_waiting(self._connection, self._endpoint)
        if self._room <= 0:
            self._lost_count += 1
            return "unknown"
        self._room -= 1
        kept = WaitingLabel(
            prediction_id=label.text,
            received_ms=received_ms if before is None else max(received_ms, before.received_ms + 1),
            endpoint=self._endpoint,
            values=label.values,
            sent_by=label.by,
        )
        self._waiting[label.text] = kept
        self._new_waiting.append(kept)
        return "waiting"

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
        alike: dict[Hashable, list[tuple[Columns, Prediction, list[Any]]]] = {}
        for row, values in parts:
            outputs = {name: one for name, one in decode_columns(row.outputs).items() if one.ndim == 1}
            alike.setdefault(kind_of(outputs, values), []).append((outputs, row, values))
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
        return self._classes.of(Served(row.endpoint, row.revision, row.version))

    def counts(self) -> LabelCounts:
        """Return what became of the labels."""
        return LabelCounts(**self._outcomes, reasons=dict(list(self._reasons.items())[:REASONS_MAX]))


def join_labels(
    connection: sa.Connection,
    endpoint: str,
    labels: Sequence[Label],
    monitor: MonitorSettings,
    writer: Writer,
) -> LabelCounts:
    """Join labels to their predictions in the caller's transaction, and write what they say of quality.

    One that cannot be joined counts as one that does not fit, and holds back no other.
    """
    return _join_all(connection, endpoint, labels, monitor, writer, keeps=True)[1]


def join_waiting(
    connection: sa.Connection,
    stored: Sequence[Prediction],
    monitor_of: Callable[[str], MonitorSettings],
    writer: Writer,
) -> None:
    """Join the labels that waited for predictions, also runs of them, which the caller's transaction stores; call it after storing them.

    Cost: a look into the labels that wait for predictions of the same time; nothing more where there is none.
    """
    if not stored:
        return
    ends = {one.id: nth_id(one.id, one.row_count - 1) for one in stored if one.is_run}
    first, last = min(one.id for one in stored), max(ends.get(one.id, one.id) for one in stored)
    ids = ids_between(connection, first, last)
    if not ids:
        return
    singles = {one.id: one.endpoint for one in stored if not one.is_run}
    runs = [(one.id, ends[one.id], one.endpoint) for one in stored if one.is_run]
    wanted: dict[str, set[str]] = {}
    for text in ids:
        owners = {singles[text]} if text in singles else set()
        for endpoint in owners | {of for begin, end, of in runs if begin <= text <= end}:
            wanted.setdefault(endpoint, set()).add(text)
    for endpoint, mine in wanted.items():
        join_kept(connection, endpoint, mine, monitor_of(endpoint), writer)


def join_waiting_for(
    connection: sa.Connection,
    stored: Sequence[Answers],
    monitor_of: Callable[[str], MonitorSettings],
    writer: Writer,
) -> None:
    """Join the labels that waited for answers which the caller's transaction stores, as `join_waiting` does."""
    if not stored:
        return
    first = min([min([row[0] for row in one.rows]) for one in stored])
    last = max([max([row[0] for row in one.rows]) for one in stored])
    ids = set(ids_between(connection, first, last))
    for endpoint in dict.fromkeys(one.endpoint for one in stored):
        mine = ids.intersection(row[0] for one in stored if one.endpoint == endpoint for row in one.rows)
        if mine:
            join_kept(connection, endpoint, mine, monitor_of(endpoint), writer)


def join_kept(
    connection: sa.Connection, endpoint: str, ids: Collection[str], monitor: MonitorSettings, writer: Writer
) -> int:
    """Join what waits for these predictions as far as they are stored, and forget it; return how many labels were.

    One that cannot be joined counts as one that does not fit: the transaction stores predictions too, which none holds back.
    """
    kept = list_waiting(connection, endpoint, ids)
    labels = [
        Label(
            parse_prediction_id(one.prediction_id),
            one.prediction_id,
            one.values,
            one.sent_by,
            one.received_ms,
        )
        for one in kept
    ]
    if not labels:
        return 0
    found, counts = _join_all(connection, endpoint, labels, monitor, writer, keeps=False)
    delete_waiting(connection, endpoint, found)
    add_lost(connection, {(endpoint, "misfit"): counts.misfit}, now_ms())
    return sum(one.prediction_id in found for one in kept)


def _join_all(
    connection: sa.Connection,
    endpoint: str,
    labels: Sequence[Label],
    monitor: MonitorSettings,
    writer: Writer,
    *,
    keeps: bool,
) -> tuple[set[str], LabelCounts]:
    """Join labels at once, or one half after the other where one of them cannot be; return whose predictions are stored."""
    join = Join(connection, endpoint, labels, monitor, keeps=keeps)
    try:
        with connection.begin_nested():  # what one that cannot be joined had written goes with it
            _run(connection, join, monitor, writer)
    except (Unavailable, sa.exc.SQLAlchemyError):
        raise
    except Exception as error:  # noqa: BLE001  (whatever a label holds, it is its own fault alone)
        if len(labels) > 1:
            middle = len(labels) // 2
            found, counts = _join_all(connection, endpoint, labels[:middle], monitor, writer, keeps=keeps)
            more, others = _join_all(connection, endpoint, labels[middle:], monitor, writer, keeps=keeps)
            return found | more, _both(counts, others)
        text, why = labels[0].text, described(error)
        came = "came" if keeps else "waited"
        logger.warning(
            "a label of %s that %s for prediction %s cannot be joined: %s", endpoint, came, text, why
        )
        return join.found, LabelCounts(
            misfit=1, reasons={text: f"it cannot be joined to its prediction: {why}"}
        )
    return join.found, join.counts()


def _both(one: LabelCounts, other: LabelCounts) -> LabelCounts:
    return LabelCounts(
        **{name: getattr(one, name) + getattr(other, name) for name in OUTCOMES},
        reasons=dict([*one.reasons.items(), *other.reasons.items()][:REASONS_MAX]),
    )


def _run(connection: sa.Connection, join: Join, monitor: MonitorSettings, writer: Writer) -> None:
    worker, sequence = writer
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


def _different(before: Sequence[Any], now: Sequence[Any]) -> list[Any]:
    """Return the values of now, None where they say nothing or the same as before."""
    return [None if new is None or is_same(old, new) else new for old, new in zip(before, now, strict=True)]
