"""The newest rows that an endpoint was asked about whose features the store keeps, by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from penstock.monitoring.rowwise.rows import Rows
from penstock.monitoring.windows import WindowKey
from penstock.serving.loaders.model import Columns
from penstock.serving.matching import iterate_columns
from penstock.serving.predictions.encoding import decode_columns
from penstock.serving.predictions.stored import Prediction, list_sampled

Array = npt.NDArray[Any]


def read_rows(connection: sa.Connection, key: WindowKey, span_s: float, most: int) -> Rows:
    """Return the newest rows of a version on a route, at most `most` of the seconds before the key's start.

    Raises:
        Corrupt: features of a row cannot be read.
    """
    since_ms = int(1000 * (key.start_s - span_s))
    found = list_sampled(connection, key.endpoint, key.version, key.route, since_ms, most)
    return rows_of([one for one in found if one.row_count], most, key.start_s)


def rows_of(found: Sequence[Prediction], most: int, now_s: int) -> Rows:
    """Return features of predictions, the newest first, as rows; rows of one request are of one group.

    A long request or run gives as many of its rows as fit, spread evenly over it.
    """
    parts: list[tuple[dict[str, Array], npt.NDArray[np.int64]]] = []
    groups: list[npt.NDArray[np.int64]] = []
    room, group, start_s = most, 0, now_s
    for one in found:
        if room <= 0:
            break
        columns = dict(iterate_columns(decode_columns(one.features or b"\x80")))
        count = min(room, one.row_count)
        places = np.linspace(0, one.row_count - 1, count).astype(np.int64)
        parts.append((columns, places))
        # each row of a batch's run is a request of its own
        groups.append(group + np.arange(count) if one.is_run else np.full(count, group))
        group += count if one.is_run else 1
        room -= count
        start_s = min(start_s, one.window_start_s)
    if not parts:
        return Rows(0, start_s=now_s)
    return Rows.of(aligned(parts), np.concatenate(groups).astype(np.int64), start_s)


def aligned(parts: Sequence[tuple[Columns, npt.NDArray[np.int64]]]) -> dict[str, Array]:
    """Return the chosen rows of all parts by column; what a part does not have, or as another kind, is missing in it."""
    kinds: dict[str, bool] = {}
    for columns, _ in parts:
        for name, values in columns.items():
            kinds.setdefault(name, values.dtype.kind in "ObUST")
    made: dict[str, list[Array]] = {name: [] for name in kinds}
    for columns, places in parts:
        for name, is_text in kinds.items():
            given: Array | None = columns.get(name)
            if given is None or (given.dtype.kind in "ObUST") != is_text or given.dtype.kind == "V":
                values = np.full(len(places), None if is_text else np.nan, dtype=object if is_text else float)
                made[name].append(values)
            else:
                made[name].append(given[places].astype(object) if is_text else given[places])
    return {name: np.concatenate(values) for name, values in made.items()}
