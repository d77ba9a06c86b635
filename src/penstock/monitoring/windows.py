"""Windows: what live traffic looked like over a span of time, by revision, version and route.

A window is the merge of partial rows that serve processes write as they go. A partial row is fixed and
known by (window, worker, sequence): writing it again changes nothing. Labels that come later add partial
rows with only quality to the window of their prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.store.database import metadata, upsert
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality.measures import Quality

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
    sa.Column("label_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("error_run_count", sa.Integer),
    sa.Column("nonfinite_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("nonfinite_run_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("nonfinite_row_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("dropped_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("scored_row_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("outlier_row_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("outlier_run_count", sa.Integer, nullable=False, server_default="0"),
    sa.Index("ix_windows_failures", "start_s", "endpoint", "error_count", "nonfinite_count"),
    sa.Index(
        "ix_windows_counts",
        "endpoint",
        "version",
        "route",
        "start_s",
        "revision",
        "request_count",
        "error_count",
        "row_count",
        "label_count",
    ),
)

BATCH = "batch"
"""The route of what a batch job asked: a table in bunches is no live traffic, and no live route is judged by it."""
SKETCHES = frozenset({"features", "outputs"})
"""What is large of a window."""


class WindowKey(msgspec.Struct, frozen=True, order=True):
    """Which window: where, when (start in seconds since the epoch) and of what. `revision` 0: `direct`."""

    endpoint: str
    start_s: int
    revision: int
    version: int
    route: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What is added up where windows are merged, each a column of the table. A new one is one here, too.

    Errors are failures that were not the client's fault. `nonfinite_count` requests were answered with more values that are no finite numbers than is borne, in
    `nonfinite_run_count` runs; `nonfinite_row_count` rows had one at all. Of `dropped_count` requests only
    that they came, and whether they failed, is known: the recorder had no room for them. Of `scored_row_count` rows
    `outlier_row_count` were far from all that the reference has, in `outlier_run_count` runs.
    """

    request_count: int = 0
    error_count: int = 0
    row_count: int = 0
    nonfinite_count: int = 0
    nonfinite_run_count: int = 0
    nonfinite_row_count: int = 0
    dropped_count: int = 0
    scored_row_count: int = 0
    outlier_row_count: int = 0
    outlier_run_count: int = 0


SUMMED = Counts.__struct_fields__
_counts = attrgetter(*SUMMED)


def counts_of(one: Any) -> dict[str, Any]:
    """Return the counts of a window, of its row, or of what else has them, by name."""
    return dict(zip(SUMMED, _counts(one), strict=True))


def sum_counts(parts: Sequence[Any]) -> dict[str, Any]:
    """Return the counts of all parts together, by name."""
    return dict(zip(SUMMED, map(sum, zip(*map(_counts, parts), strict=True)), strict=True))


def sum_runs(parts: Sequence[Any]) -> int | None:
    """Return the runs of failures of all parts; None where one that has failures did not count them."""
    if any(part.error_count and part.error_run_count is None for part in parts):
        return None
    return sum(part.error_run_count or 0 for part in parts)


class Window(Counts, frozen=True, kw_only=True):
    """A window, or the merge of several.

    `error_run_count` is in how many runs without a success between the errors came; None where nobody counted.
    """

    key: WindowKey
    window_s: int
    latency: LatencyHistogram = msgspec.field(default_factory=LatencyHistogram)
    features: Profile = msgspec.field(default_factory=Profile)
    outputs: Profile = msgspec.field(default_factory=Profile)
    quality: Quality = msgspec.field(default_factory=Quality)
    error_run_count: int | None = None

    @property
    def end_s(self) -> int:
        """When the window ends, in seconds since the epoch."""
        return self.key.start_s + self.window_s

    @property
    def error_ratio(self) -> float:
        """Share of requests that failed, in [0, 1]; 0.0 without requests."""
        return self.error_count / self.request_count if self.request_count else 0.0

    def grown(self, part: Window) -> Window:
        """Return this window with one more part of it, its sketches as small as those of one (`Profile.grown`)."""
        return _merged([self, part], Profile.grown)

    def counts_only(self) -> Window:
        """Return the window without its sketches: of its requests only the counts are known."""
        return Window(
            key=self.key,
            window_s=self.window_s,
            request_count=self.request_count,
            error_count=self.error_count,
            error_run_count=self.error_run_count,
            dropped_count=self.request_count,
        )

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
    rows = [pack(one) for one in partials]
    if rows:
        connection.execute(upsert(connection.dialect.name, windows).on_conflict_do_nothing(), rows)


def put_partial(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    """Write a packed partial row in the place of what the same worker wrote there before."""
    insert = upsert(connection.dialect.name, windows)
    keys = [column.name for column in windows.primary_key.columns]
    new = {name: insert.excluded[name] for name in values if name not in keys}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=new), [dict(values)])


def replace_partial(connection: sa.Connection, packed: Mapping[str, Any]) -> bool:
    """Write a packed partial row over the one that is there; whether it was still there."""
    values = dict(packed)
    keys = [column.name for column in windows.primary_key.columns]
    mine = sa.and_(*(windows.c[name] == values.pop(name) for name in keys))
    return connection.execute(windows.update().where(mine).values(values)).rowcount == 1


def has_windows_before(connection: sa.Connection, endpoint: str, revision: int) -> bool:
    """Say whether earlier revisions of an endpoint have traffic."""
    wanted = (windows.c.endpoint == endpoint) & (windows.c.revision < revision)
    return connection.execute(sa.select(windows.c.start_s).where(wanted).limit(1)).first() is not None


def list_windows(
    connection: sa.Connection,
    endpoint: str,
    *,
    revisions: Sequence[int] | None = None,
    route: str | None = None,
    since_s: int = 0,
    before_s: int | None = None,
    limit: int | None = None,
    with_features: bool = True,
) -> list[Window]:
    """Return an endpoint's windows that start at or after `since_s`, oldest first; `list_rows` has the arguments."""
    found = list_rows(
        connection,
        endpoint,
        revisions=revisions,
        route=route,
        since_s=since_s,
        before_s=before_s,
        limit=limit,
        with_features=with_features,
    )
    return [merge_windows([unpack(row) for row in rows]) for rows in found]


def list_rows(
    connection: sa.Connection,
    endpoint: str,
    *,
    revisions: Sequence[int] | None = None,
    route: str | None = None,
    since_s: int = 0,
    before_s: int | None = None,
    limit: int | None = None,
    with_features: bool = True,
) -> list[tuple[sa.Row[Any], ...]]:
    """Return the partial rows of an endpoint's windows, each window's together, the oldest first; `unpack` reads one.

    Args:
        revisions: only windows of these.
        route: only windows of this one.
        before_s: only windows that start before it.
        limit: of the newest window starts, how many; one start may have several routes. None: all, so the caller bounds
            their time.
        with_features: whether the sketches of features and outputs are read; they are most of a window's bytes.
    """
    wanted = (windows.c.endpoint == endpoint) & (windows.c.start_s >= since_s)
    if before_s is not None:
        wanted &= windows.c.start_s < before_s
    if revisions is not None:
        wanted &= windows.c.revision.in_(revisions)
    if route is not None:
        wanted &= windows.c.route == route
    starts = sa.select(windows.c.start_s).where(wanted).distinct().order_by(windows.c.start_s.desc())
    if limit is not None:
        first = sa.select(sa.func.min(starts.limit(limit).subquery().c.start_s)).scalar_subquery()
        wanted &= windows.c.start_s >= first
    columns = [
        sa.null().label(one.name) if not with_features and one.name in {"features", "outputs"} else one
        for one in windows.c
    ]
    query = sa.select(*columns).where(wanted)
    return list(rows_by_window(connection.execute(query.order_by(windows.c.worker, windows.c.sequence))))


def rows_by_window(rows: Iterable[sa.Row[Any]]) -> Iterator[tuple[sa.Row[Any], ...]]:
    """Return the partial rows of each window together, the oldest window first."""
    found: dict[WindowKey, list[sa.Row[Any]]] = {}
    for row in rows:
        key = WindowKey(row.endpoint, row.start_s, row.revision, row.version, row.route)
        found.setdefault(key, []).append(row)
    return (tuple(found[key]) for key in sorted(found))


def list_profiles(
    connection: sa.Connection, keys: Sequence[WindowKey], only: Collection[str] | None = None
) -> dict[WindowKey, Profile]:
    """Return the profiles of the features of some windows of one endpoint, only of these columns; reading is the cost."""
    if not keys:
        return {}
    columns = windows.c
    query = sa.select(
        columns.start_s, columns.revision, columns.version, columns.route, columns.features
    ).where(
        columns.endpoint == keys[0].endpoint,
        columns.start_s.in_({one.start_s for one in keys}),
        columns.features.is_not(None),
    )
    wanted, found = set(keys), dict[WindowKey, Profile]()
    for row in connection.execute(query):
        key = WindowKey(keys[0].endpoint, row.start_s, row.revision, row.version, row.route)
        if key in wanted:
            profile = Profile.from_bytes(row.features, only)
            found[key] = found[key].merge(profile) if key in found else profile
    return found


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
    return _merged(parts, Profile.merge)


def _merged(parts: Sequence[Window], merge: Callable[[Profile, Profile], Profile]) -> Window:
    newest = max(parts, key=lambda part: part.key)
    start_s = min(part.key.start_s for part in parts)
    return Window(
        key=msgspec.structs.replace(newest.key, start_s=start_s),
        window_s=max(part.end_s for part in parts) - start_s,
        latency=reduce(LatencyHistogram.merge, (part.latency for part in parts)),
        features=reduce(merge, (part.features for part in parts)),
        outputs=reduce(merge, (part.outputs for part in parts)),
        quality=reduce(Quality.merge, (part.quality for part in parts)),
        error_run_count=sum_runs(parts),
        **sum_counts(parts),
    )


def pack(partial: Partial) -> dict[str, Any]:
    """Return a partial as its row; sketches are most of the work, which needs no transaction."""
    window = partial.window
    return {
        **msgspec.structs.asdict(window.key),
        "worker": partial.worker,
        "sequence": partial.sequence,
        "window_s": window.window_s,
        "latency": window.latency.to_bytes() if window.request_count else None,
        "features": window.features.to_bytes() if window.features.row_count else None,
        "outputs": window.outputs.to_bytes() if window.outputs.row_count else None,
        "quality": None if window.quality.is_empty else window.quality.to_bytes(),
        "label_count": window.quality.label_count,
        "error_run_count": window.error_run_count,
        **counts_of(window),
    }


def unpack(row: sa.Row[Any]) -> Window:
    """Return a row as the window it is a part of.

    Raises:
        Corrupt: its sketches cannot be read.
    """
    return Window(
        key=WindowKey(row.endpoint, row.start_s, row.revision, row.version, row.route),
        window_s=row.window_s,
        latency=LatencyHistogram.from_bytes(row.latency) if row.latency else LatencyHistogram(),
        features=Profile.from_bytes(row.features) if row.features else Profile(),
        outputs=Profile.from_bytes(row.outputs) if row.outputs else Profile(),
        quality=Quality.from_bytes(row.quality) if row.quality else Quality(),
        error_run_count=row.error_run_count,
        **counts_of(row),
    )
