"""Make windows fewer as they grow old: partial rows become one, windows become hours, hours days.

What is told of a span of time stays the same; only how finely it can be looked at goes down. A look at an
endpoint then costs the same after a month as in the first minute.

Source: Agarwal et al., "Mergeable summaries", PODS 2012 (what may be merged, in any order, within its bound).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.errors import Conflict
from penstock.monitoring.windows import (
    Partial,
    Window,
    WindowKey,
    add_partials,
    merge_windows,
    unpack,
    windows,
)

SETTLED_S = 60
"""So long after its end a window gets no more partial rows, but for late labels."""
HOUR_S, DAY_S = 3_600, 86_400
HOURS_AFTER_S = 2 * DAY_S
DAYS_AFTER_S = 30 * DAY_S
MERGED = 0
"""The worker that merged rows are of; those of serve processes begin at 1."""
_PLACE = ("endpoint", "revision", "version", "route")


class Bundle(msgspec.Struct, frozen=True):
    """Rows that become one: windows of the same traffic that start in [start_s, end_s)."""

    endpoint: str
    revision: int
    version: int
    route: str
    start_s: int
    end_s: int
    row_count: int

    @property
    def place(self) -> tuple[str, int, int, str, int, int]:
        """What tells it from other bundles, however many rows it has."""
        return self.endpoint, self.revision, self.version, self.route, self.start_s, self.end_s


def find_bundles(
    connection: sa.Connection,
    now_s: int,
    *,
    since_s: int = 0,
    max_rows: int = 500,
    without: Collection[tuple[str, int, int, str, int, int]] = (),
) -> list[Bundle]:
    """Return what can be merged now, oldest first: about `max_rows` rows, at least one bundle if there is any.

    Args:
        since_s: windows that started before are not looked at.
        without: the places of bundles that cannot be merged.
    """
    found: list[Bundle] = []
    spans = ((0, now_s - DAYS_AFTER_S, DAY_S), (now_s - DAYS_AFTER_S, now_s - HOURS_AFTER_S, HOUR_S))
    for lower_s, upper_s, span_s in spans:
        found += _find(connection, (max(lower_s, since_s), upper_s), span_s, len(without))
    between_s = max(now_s - HOURS_AFTER_S, since_s), now_s - SETTLED_S
    found += _find(connection, between_s, None, len(without))
    chosen: list[Bundle] = []
    for one in (one for one in found if one.place not in without):
        if chosen and sum(other.row_count for other in chosen) + one.row_count > max_rows:
            break
        chosen.append(one)
    return chosen


def merge_bundle(connection: sa.Connection, bundle: Bundle) -> int:
    """Put one row in the place of a bundle's, in the caller's transaction; return how many it replaced.

    Raises:
        Conflict: somebody else merged them at the same moment.
        Corrupt: a row of it cannot be read.
    """
    columns = windows.c
    inside = sa.and_(
        *(columns[name] == getattr(bundle, name) for name in _PLACE),
        columns.start_s >= bundle.start_s,
        columns.start_s < bundle.end_s,
    )
    ordered = sa.select(windows).where(inside).order_by(columns.start_s, columns.worker, columns.sequence)
    rows = list(connection.execute(ordered.with_for_update()))
    if len(rows) < 2:
        return 0
    merged = _merge([unpack(row) for row in rows], bundle)
    keys = (*_PLACE, "start_s", "worker", "sequence")
    gone = windows.delete().where(*(columns[name] == sa.bindparam(f"of_{name}") for name in keys))
    done = sum(
        connection.execute(gone, {f"of_{name}": getattr(row, name) for name in keys}).rowcount for row in rows
    )
    if done != len(rows):
        raise Conflict("these windows are being merged already", code="monitoring.merging")
    add_partials(connection, [Partial(window=merged, worker=MERGED, sequence=1)])
    return len(rows)


def delete_windows(connection: sa.Connection, before_s: int) -> int:
    """Delete the windows that started before a time and return how many rows that were."""
    return int(connection.execute(windows.delete().where(windows.c.start_s < before_s)).rowcount)


def _merge(parts: Sequence[Window], bundle: Bundle) -> Window:
    merged = merge_windows(parts)
    key = WindowKey(bundle.endpoint, bundle.start_s, bundle.revision, bundle.version, bundle.route)
    end_s = max(part.end_s for part in parts)
    start_s = min(part.key.start_s for part in parts)
    if bundle.end_s - bundle.start_s == 1:
        key = msgspec.structs.replace(key, start_s=start_s)
    return msgspec.structs.replace(merged, key=key, window_s=max(1, end_s - key.start_s))


def _find(
    connection: sa.Connection, between_s: tuple[int, int], span_s: int | None, besides: int
) -> list[Bundle]:
    """Return the bundles of windows that start in a time: of one start each, or of whole spans."""
    columns = windows.c
    start: sa.ColumnElement[Any] = (
        columns.start_s if span_s is None else columns.start_s - columns.start_s % span_s
    )
    place = [columns[name] for name in _PLACE]
    count = sa.func.count().label("row_count")
    query = (
        sa.select(*place, start.label("first_s"), count)
        .where(columns.start_s >= between_s[0], columns.start_s + columns.window_s <= between_s[1])
        .group_by(*place, start)
        .having(sa.func.count() > 1)
        .order_by(start)
        .limit(200 + besides)
    )
    return [
        Bundle(row.endpoint, row.revision, row.version, row.route, row.first_s, row.first_s + (span_s or 1), row.row_count)
        for row in connection.execute(query)
    ]  # fmt: skip
