"""Windows: what live traffic looked like over a span of time, by revision, version and route.

A window is the merge of partial rows that serve processes write as they go. A partial row is fixed and
known by (window, worker, sequence): writing it again changes nothing. Labels that come later add partial
rows with only quality to the window of their prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.store.database import metadata, upsert
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality import Quality

windows = sa.Table(
    "windows",
    metadata,
    sa.Column("endpoint", sa.String(256), primary_key=True),
    sa.Column("start_s", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("route", sa.String(16), primary_key=True),
    sa.Column("worker", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("window_s", sa.Integer, nullable=False),
    sa.Column("request_count", sa.Integer, nullable=False),
    sa.Column("error_count", sa.Integer, nullable=False),
    sa.Column("row_count", sa.Integer, nullable=False),
    sa.Column("latency", sa.LargeBinary),
    sa.Column("features", sa.LargeBinary),
    sa.Column("outputs", sa.LargeBinary),
    sa.Column("quality", sa.LargeBinary),
)


class WindowKey(msgspec.Struct, frozen=True, order=True):
    """Which window: where, when (start in seconds since the epoch) and of what. `revision` 0: `direct`."""

    endpoint: str
    start_s: int
    revision: int
    version: int
    route: str


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A window, or the merge of several. Errors are failures that were not the client's fault."""

    key: WindowKey
    window_s: int
    request_count: int = 0
    error_count: int = 0
    row_count: int = 0
    latency: LatencyHistogram = msgspec.field(default_factory=LatencyHistogram)
    features: Profile = msgspec.field(default_factory=Profile)
    outputs: Profile = msgspec.field(default_factory=Profile)
    quality: Quality = msgspec.field(default_factory=Quality)

    @property
    def end_s(self) -> int:
        """When the window ends, in seconds since the epoch."""
        return self.key.start_s + self.window_s

    @property
    def error_ratio(self) -> float:
        """Share of requests that failed, in [0, 1]; 0.0 without requests."""
        return self.error_count / self.request_count if self.request_count else 0.0

    def quantile_s(self, rank: float) -> float:
        """Return the latency in seconds that a share `rank` of the requests did not exceed."""
        return self.latency.quantile_s(rank)


class Partial(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's contribution to a window; `sequence` is the worker's own running number."""

    window: Window
    worker: int
    sequence: int


def add_partials(connection: sa.Connection, partials: Iterable[Partial]) -> None:
    """Write partial rows; those that are there already stay as they are."""
    rows = [_pack(one) for one in partials]
    if rows:
        connection.execute(upsert(connection.dialect.name, windows).on_conflict_do_nothing(), rows)


def list_windows(
    connection: sa.Connection,
    endpoint: str,
    *,
    revision: int | None = None,
    since_s: int = 0,
    limit: int = 200,
) -> list[Window]:
    """Return an endpoint's windows that start at or after `since_s`, oldest first.

    Args:
        limit: of the newest window starts, how many; one start may have several routes.
    """
    wanted = (windows.c.endpoint == endpoint) & (windows.c.start_s >= since_s)
    if revision is not None:
        wanted &= windows.c.revision == revision
    starts = sa.select(windows.c.start_s).where(wanted).distinct().order_by(windows.c.start_s.desc())
    first = sa.select(sa.func.min(starts.limit(limit).subquery().c.start_s)).scalar_subquery()
    query = sa.select(windows).where(wanted, windows.c.start_s >= first)
    found: dict[WindowKey, list[Window]] = {}
    for row in connection.execute(query.order_by(windows.c.worker, windows.c.sequence)):
        window = _unpack(row)
        found.setdefault(window.key, []).append(window)
    return [merge_windows(found[key]) for key in sorted(found)]


def recent(listed: Sequence[Window], route: str, count: int) -> Window | None:
    """Merge the newest `count` windows of a route that had traffic; None when there is none."""
    chosen = [window for window in listed if window.key.route == route and window.request_count]
    return merge_windows(chosen[-count:]) if chosen else None


def merge_windows(parts: Sequence[Window]) -> Window:
    """Return one window over all parts: the newest part's revision and version, the whole span.

    Raises:
        ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("no windows to merge")
    newest = max(parts, key=lambda part: part.key)
    start_s = min(part.key.start_s for part in parts)
    return Window(
        key=msgspec.structs.replace(newest.key, start_s=start_s),
        window_s=max(part.end_s for part in parts) - start_s,
        request_count=sum(part.request_count for part in parts),
        error_count=sum(part.error_count for part in parts),
        row_count=sum(part.row_count for part in parts),
        latency=reduce(LatencyHistogram.merge, (part.latency for part in parts)),
        features=reduce(Profile.merge, (part.features for part in parts)),
        outputs=reduce(Profile.merge, (part.outputs for part in parts)),
        quality=reduce(Quality.merge, (part.quality for part in parts)),
    )


def _pack(partial: Partial) -> dict[str, Any]:
    window = partial.window
    return {
        **msgspec.structs.asdict(window.key),
        "worker": partial.worker,
        "sequence": partial.sequence,
        "window_s": window.window_s,
        "request_count": window.request_count,
        "error_count": window.error_count,
        "row_count": window.row_count,
        "latency": window.latency.to_bytes() if window.request_count else None,
        "features": window.features.to_bytes() if window.features.row_count else None,
        "outputs": window.outputs.to_bytes() if window.outputs.row_count else None,
        "quality": window.quality.to_bytes() if window.quality.label_count else None,
    }


def _unpack(row: sa.Row[Any]) -> Window:
    return Window(
        key=WindowKey(row.endpoint, row.start_s, row.revision, row.version, row.route),
        window_s=row.window_s,
        request_count=row.request_count,
        error_count=row.error_count,
        row_count=row.row_count,
        latency=LatencyHistogram.from_bytes(row.latency) if row.latency else LatencyHistogram(),
        features=Profile.from_bytes(row.features) if row.features else Profile(),
        outputs=Profile.from_bytes(row.outputs) if row.outputs else Profile(),
        quality=Quality.from_bytes(row.quality) if row.quality else Quality(),
    )
