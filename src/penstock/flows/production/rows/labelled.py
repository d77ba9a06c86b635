"""Labelled rows of a version from the store: its newest, or its first, with what was kept of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa

from penstock.flows.production.rows.live import aligned
from penstock.monitoring.quality.counts import request_number
from penstock.monitoring.rowwise.labelled import LabelledRows
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import WindowKey
from penstock.serving.classes import Classes, Served, read_classes
from penstock.serving.matching import iterate_columns
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.stored import Prediction, current_label, list_labelled, list_labels

Kept = Literal["features", "slices"]


def read_labelled(
    connection: sa.Connection,
    key: WindowKey,
    kept: Kept,
    since_s: float,
    most: int,
    monitor: MonitorSettings,
    *,
    oldest: bool = False,
) -> LabelledRows:
    """Return labelled rows of a version on a route with their features or slices, at most `most` requests.

    Rows of batch jobs, which have an id each and one row of the store together, are not among them.

    Args:
        oldest: the first since a time instead of the newest.

    Raises:
        Corrupt: a row cannot be read.
    """
    found = list_labelled(
        connection, (key.endpoint, key.version, key.route), kept, int(1000 * since_s), most, oldest=oldest
    )
    found.sort(key=lambda one: one.id)
    known: dict[str, list[Any]] = {}
    for stored in list_labels(connection, [one.id for one in found]):
        known[stored.prediction_id] = current_label(known.get(stored.prediction_id), stored.values)
    rows = [one for one in found if len(known.get(one.id, ())) == one.row_count]
    classes = monitor.classes or _classes_of(connection, key)
    return _rows(rows, known, kept, classes, monitor.positive)


def _classes_of(connection: sa.Connection, key: WindowKey) -> Classes | None:
    known = read_classes(connection, {key.endpoint})
    return known.of(Served(key.endpoint, key.revision, key.version))


def _rows(
    rows: Sequence[Prediction],
    known: dict[str, list[Any]],
    kept: Kept,
    classes: Classes | None,
    positive: Any,
) -> LabelledRows:
    """Stack rows that were answered alike: those with other outputs than the newest are left out."""
    outputs = [
        {name: values for name, values in decode_columns(one.outputs).items() if values.ndim == 1}
        for one in rows
    ]
    if not rows:
        return LabelledRows()
    alike = [place for place, one in enumerate(outputs) if one.keys() == outputs[-1].keys()]
    columns = aligned(
        [
            (
                dict(iterate_columns(decode_columns(getattr(rows[place], kept)))),
                np.arange(rows[place].row_count),
            )
            for place in alike
        ]
    )
    counts = [rows[place].row_count for place in alike]
    return LabelledRows(
        columns=columns,
        outputs={name: np.concatenate([outputs[place][name] for place in alike]) for name in outputs[-1]},
        labels=[label for place in alike for label in known[rows[place].id]],
        requests=np.repeat([request_number(rows[place].id) for place in alike], counts),
        times_s=np.repeat([rows[place].window_start_s for place in alike], counts),
        classes=classes,
        positive=positive,
    )
