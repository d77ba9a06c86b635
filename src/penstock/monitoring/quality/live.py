"""What labels say of a version's live predictions: as a window that guardrails judge, and as numbers that pages tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial, reduce

import msgspec
import sqlalchemy as sa

from penstock.base.store.remembered import Remembered, key_of
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.windows import (
    BATCH,
    SKETCHES,
    Window,
    WindowKey,
    merge_windows,
    rows_by_window,
    unpack,
    windows,
)
from penstock.stats.metric_names import METRICS

KEPT = 64
"""Of so many versions the numbers are kept; reading their labels again takes 20 ms each."""
IN_ORDER = (windows.c.start_s, windows.c.worker, windows.c.sequence)
"""The last part says which class is the positive one (`QualityCounts`)."""


class LiveQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics by name, those that the labels tell; without the errors that chance gives them."""

    label_count: int = 0
    metrics: dict[str, float] = {}


def labelled(
    connection: sa.Connection,
    endpoint: str,
    version: int,
    *,
    since_s: int,
    revisions: Sequence[int] | None = None,
    enough: tuple[int, int] | None = None,
    of_batches: bool = False,
    now_s: int | None = None,
) -> Window | None:
    """Merge what labels say of a version's predictions, however much traffic came since; None without labels.

    Traffic that addressed the version directly does not count. What was asked and answered is not read: to merge the
    sketches of 200 features over 60 windows takes two seconds.

    Args:
        since_s: predictions before that are too old to be judged.
        revisions: only predictions of these.
        enough: how many windows with labels, and how many labels, are enough; then only the newest are
            merged, so that what changed lately is seen.
        of_batches: what batch jobs asked, instead of live traffic.
        now_s: windows that begin later are of a clock that was ahead, and do not count.
    """
    wanted = _of_version(endpoint, version, since_s=since_s, of_batches=of_batches)
    if now_s is not None:
        wanted &= windows.c.start_s <= now_s
    if revisions is not None:
        wanted &= windows.c.revision.in_(revisions)
    if enough is not None:
        wanted &= windows.c.start_s >= _reach(connection, wanted, enough)
    bare = [sa.null().label(one.name) if one.name in SKETCHES else one for one in windows.c]
    query = sa.select(*bare).where(wanted).order_by(*IN_ORDER)
    found = [unpack(row) for row in connection.execute(query)]
    return merge_windows(found) if found else None


def list_labelled(
    connection: sa.Connection,
    endpoint: str,
    version: int,
    *,
    since_s: int,
    now_s: int,
    most: int,
    of_batches: bool = False,
) -> list[Window]:
    """Return the newest `most` windows with labels of a version's predictions, with what was asked and answered in them.

    Args:
        since_s, now_s, of_batches: as in `labelled`.
    """
    with_labels = _of_version(endpoint, version, since_s=since_s, of_batches=of_batches)
    starts = sa.select(windows.c.start_s).where(with_labels, windows.c.start_s <= now_s).distinct()
    newest = starts.order_by(windows.c.start_s.desc()).limit(most).subquery()
    query = sa.select(windows).where(
        windows.c.endpoint == endpoint,
        windows.c.version == version,
        _of_route(of_batches),
        windows.c.start_s.in_(sa.select(newest.c.start_s)),
    )
    rows = connection.execute(query.order_by(windows.c.worker, windows.c.sequence))
    return [merge_windows([unpack(row) for row in one]) for one in rows_by_window(rows)]


def labelled_start(connection: sa.Connection, key: WindowKey) -> int | None:
    """Return where the window now begins that holds what labels said of a window; None when it is deleted.

    Windows that were merged to hours or days begin earlier.
    """
    query = sa.select(sa.func.max(windows.c.start_s)).where(
        windows.c.endpoint == key.endpoint,
        windows.c.revision == key.revision,
        windows.c.version == key.version,
        windows.c.route == key.route,
        windows.c.start_s <= key.start_s,
        windows.c.start_s + windows.c.window_s > key.start_s,
        windows.c.label_count > 0,
    )
    found = connection.execute(query).scalar()
    return None if found is None else int(found)


def find_live_quality(
    connection: sa.Connection, endpoint: str, version: int, enough: tuple[int, int]
) -> LiveQuality:
    """Return the quality of a version on the live traffic of an endpoint; without labels of such, on its batches.

    Args:
        enough: how many windows with labels, and how many labels, are enough; only the newest are told.

    Raises:
        Corrupt: what was kept of labels cannot be read.
    """
    parts: tuple[bytes, ...] = ()
    for of_batches in (False, True):
        wanted = _of_version(endpoint, version, of_batches=of_batches)
        reach_s = _reach(connection, wanted, enough)
        query = sa.select(windows.c.quality).where(wanted, windows.c.start_s >= reach_s).order_by(*IN_ORDER)
        parts = parts or tuple(connection.execute(query).scalars())
    return _known.get(key_of(parts), partial(_told, parts))


_known = Remembered[LiveQuality](KEPT)


def _told(parts: tuple[bytes, ...]) -> LiveQuality:
    """Return what stored counts tell together: the same bytes always tell the same."""
    if not parts:
        return LiveQuality()
    whole = reduce(Quality.merge, map(Quality.from_bytes, parts))
    values = {name: whole.value(name) for name in sorted(METRICS)}
    metrics = {name: value for name, value in values.items() if math.isfinite(value)}
    return LiveQuality(label_count=whole.label_count, metrics=metrics)


def _of_version(
    endpoint: str, version: int, *, since_s: int = 0, of_batches: bool = False
) -> sa.ColumnElement[bool]:
    """Return what holds for rows with labels of a version's predictions, but for traffic that addressed it directly."""
    return (
        (windows.c.endpoint == endpoint)
        & (windows.c.version == version)
        & _of_route(of_batches)
        & (windows.c.start_s >= since_s)
        & windows.c.quality.is_not(None)
    )


def _of_route(of_batches: bool) -> sa.ColumnElement[bool]:
    route = windows.c.route
    return route == BATCH if of_batches else route.not_in(("direct", BATCH))


def _reach(connection: sa.Connection, wanted: sa.ColumnElement[bool], enough: tuple[int, int]) -> int:
    """Return how far back the newest labelled windows go that are enough."""
    query = sa.select(windows.c.start_s, sa.func.sum(windows.c.label_count)).where(wanted)
    total, reach_s = 0, 0
    newest = query.group_by(windows.c.start_s).order_by(windows.c.start_s.desc())
    for count, (start_s, labels) in enumerate(connection.execute(newest), start=1):
        total, reach_s = total + int(labels), int(start_s)
        if count >= enough[0] and total >= enough[1]:
            break
    return reach_s
