"""What is asked of windows at every look: counts and latency. No sketch of features or labels is read.

Statements are made once: making one takes longer than answering it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.windows import SUMMED, Window, WindowKey, sum_counts, sum_runs, windows

CALLERS = ("stable", "canary")
"""The routes that answer callers by shares. Those that a rule sends elsewhere are told as `direct`."""


def count_failures(connection: sa.Connection, since_s: int) -> dict[str, int]:
    """Return how many requests failed or were answered with no numbers, by endpoint, in windows since a time."""
    return {row.endpoint: int(row.failed) for row in connection.execute(_failures_of(), {"since_s": since_s})}


@cache
def _failures_of() -> sa.Select[Any]:
    failed = sa.func.sum(windows.c.error_count + windows.c.nonfinite_count).label("failed")
    query = sa.select(windows.c.endpoint, failed).where(windows.c.start_s >= sa.bindparam("since_s"))
    return query.group_by(windows.c.endpoint)


def list_counts(connection: sa.Connection, endpoint: str, limit: int) -> list[tuple[int, int, int]]:
    """Return (start in s, requests, failures) of an endpoint's newest windows over all routes, oldest first."""
    rows = connection.execute(_counts_by_start(), {"endpoint": endpoint, "limit": limit})
    return [(int(row.start_s), int(row.requests), int(row.errors)) for row in rows][::-1]


@cache
def _counts_by_start() -> sa.Select[Any]:
    requests = sa.func.sum(windows.c.request_count).label("requests")
    errors = sa.func.sum(windows.c.error_count).label("errors")
    query = sa.select(windows.c.start_s, requests, errors)
    query = query.where(windows.c.endpoint == sa.bindparam("endpoint"), windows.c.route != "shadow")
    return query.group_by(windows.c.start_s).order_by(windows.c.start_s.desc()).limit(sa.bindparam("limit"))


def count_route(
    connection: sa.Connection,
    endpoint: str,
    revision: int,
    version: int,
    route: str,
    since_s: int,
    now_s: int,
) -> dict[str, int]:
    """Return the counts of a revision's traffic on a route in windows that start between two times."""
    asked = {
        "endpoint": endpoint,
        "version": version,
        "route": route,
        "since_s": since_s,
        "now_s": now_s,
        "revision": revision,
    }
    row = connection.execute(_counts_of(), asked).mappings().one()
    return {str(name): int(value) for name, value in row.items()}


@cache
def _counts_of() -> sa.Select[Any]:
    """Return what is asked at every look."""
    names = ("request_count", "error_count", "row_count", "label_count")
    sums = (sa.func.coalesce(sa.func.sum(windows.c[name]), 0).label(name) for name in names)
    return sa.select(*sums).where(_of_route(), windows.c.revision == sa.bindparam("revision"))


class RouteCount(msgspec.Struct, frozen=True):
    """What was counted of a version on a route, in how many windows."""

    request_count: int
    error_count: int
    window_count: int


def count_revision(
    connection: sa.Connection, endpoint: str, revision: int
) -> dict[tuple[str, int], RouteCount]:
    """Return the counts of a revision's traffic since it began, by route and version."""
    rows = connection.execute(_counts_of_revision(), {"endpoint": endpoint, "revision": revision})
    return {
        (row.route, row.version): RouteCount(int(row.requests), int(row.errors), int(row.starts))
        for row in rows
    }


@cache
def _counts_of_revision() -> sa.Select[Any]:
    query = sa.select(
        windows.c.route,
        windows.c.version,
        sa.func.sum(windows.c.request_count).label("requests"),
        sa.func.sum(windows.c.error_count).label("errors"),
        sa.func.count(windows.c.start_s.distinct()).label("starts"),
    ).where(windows.c.endpoint == sa.bindparam("endpoint"), windows.c.revision == sa.bindparam("revision"))
    return query.group_by(windows.c.route, windows.c.version)


@cache
def _timings_of(*, of_revisions: bool) -> sa.Select[Any]:
    """Return what is asked at every look."""
    names = ("start_s", "window_s", "error_run_count", "latency", *SUMMED)
    query = sa.select(*(windows.c[name] for name in names)).where(_of_route(), windows.c.request_count > 0)
    if of_revisions:
        query = query.where(windows.c.revision.in_(sa.bindparam("revisions", expanding=True)))
    return query


def _of_route() -> sa.ColumnElement[bool]:
    return sa.and_(
        windows.c.start_s >= sa.bindparam("since_s"),
        windows.c.start_s <= sa.bindparam("now_s"),
        *(windows.c[name] == sa.bindparam(name) for name in ("endpoint", "version", "route")),
    )


def list_timings(
    connection: sa.Connection,
    endpoint: str,
    *,
    version: int,
    route: str,
    now_s: int,
    revisions: Sequence[int] | None = None,
    since_s: int = 0,
) -> list[Window]:
    """Return the windows of a version on a route with counts and latency only, oldest first, one a start.

    One that begins after `now_s` is of a clock that was ahead, and none of the newest.
    """
    asked: dict[str, Any] = {
        "endpoint": endpoint,
        "version": version,
        "route": route,
        "since_s": since_s,
        "now_s": now_s,
    }
    if revisions is not None:
        asked["revisions"] = list(revisions)
    found: dict[int, list[sa.Row[Any]]] = {}
    for row in connection.execute(_timings_of(of_revisions=revisions is not None), asked):
        found.setdefault(row.start_s, []).append(row)
    return [
        _timing(WindowKey(endpoint, start_s, 0, version, route), found[start_s]) for start_s in sorted(found)
    ]


def _timing(key: WindowKey, rows: Sequence[sa.Row[Any]]) -> Window:
    """Merge the counts and latency of rows of one start; a quarter of the cost of merging windows."""
    latency = LatencyHistogram()
    for row in rows:
        if row.latency:
            latency.counts += LatencyHistogram.from_bytes(row.latency).counts
    return Window(
        key=key,
        window_s=max(row.window_s for row in rows),
        error_run_count=sum_runs(rows),
        latency=latency,
        **sum_counts(rows),
    )


def last_endpoint_traffic_s(
    connection: sa.Connection, endpoint: str, now_s: int, ruled: Collection[int] = ()
) -> int | None:
    """Return when the newest window of an endpoint until now ended, whichever version answered its callers; or None.

    Args:
        ruled: versions that rules send callers to; what is told of them as addressed directly is callers' too.
    """
    asked = {"endpoint": endpoint, "now_s": now_s, "ruled": list(ruled)}
    row = connection.execute(_last_of_endpoint(), asked).first()
    return None if row is None else int(row.start_s + row.window_s)


@cache
def _last_of_endpoint() -> sa.Select[Any]:
    """Return what is asked at every look; a request that names a version, or is copied to one, is no caller's."""
    is_ruled = (windows.c.route == "direct") & windows.c.version.in_(sa.bindparam("ruled", expanding=True))
    query = sa.select(windows.c.start_s, windows.c.window_s).where(
        windows.c.endpoint == sa.bindparam("endpoint"),
        windows.c.start_s <= sa.bindparam("now_s"),
        windows.c.route.in_(CALLERS) | is_ruled,
        windows.c.request_count > 0,
    )
    return query.order_by(windows.c.start_s.desc()).limit(1)


def last_traffic_s(
    connection: sa.Connection, endpoint: str, version: int, route: str, now_s: int
) -> int | None:
    """Return when the newest window until now of a version on a route ended, or None."""
    query = sa.select(windows.c.start_s, windows.c.window_s).where(
        windows.c.endpoint == endpoint,
        windows.c.version == version,
        windows.c.route == route,
        windows.c.start_s <= now_s,
        windows.c.request_count > 0,
    )
    row = connection.execute(query.order_by(windows.c.start_s.desc()).limit(1)).first()
    return None if row is None else int(row.start_s + row.window_s)
