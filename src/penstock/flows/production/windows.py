"""Windows of live traffic as the pages and the API show them."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa

from penstock.base.store.remembered import Key, Remembered, key_of
from penstock.monitoring.windows import list_rows, merge_windows, unpack
from penstock.project.project import Project
from penstock.serving.deployments import get_revision
from penstock.stats.metric_names import METRICS

KEPT = 1024
"""So many windows are kept as they are shown: a page that is live asks for the same ones every few seconds, 0.7 ms each."""


class WindowView(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic of one route over one window; times in milliseconds, ratios in [0, 1], null where unknown.

    `revision` 0 is traffic that addressed a version directly (route `direct`).
    """

    start_s: int
    end_s: int
    revision: int
    version: int
    route: str
    request_count: int
    error_count: int
    error_ratio: float
    row_count: int
    nonfinite_row_count: int
    dropped_count: int = 0
    p50_ms: float | None
    p99_ms: float | None
    label_count: int
    quality: dict[str, float]


def view_windows(
    project: Project,
    endpoint: str,
    *,
    revision: int | None = None,
    limit: int,
    since_s: int = 0,
    before_s: int | None = None,
    metrics: Collection[str] = METRICS,
) -> list[WindowView]:
    """Return an endpoint's newest `limit` window starts, oldest first, none that began before `since_s`.

    Args:
        before_s: only windows that start before it.
        metrics: which are told; each costs a tenth of a millisecond of a window that is new.

    Raises:
        NotFound: no such endpoint.
        Corrupt: a window cannot be read.
    """
    with project.database.read() as connection:
        get_revision(connection, endpoint)
        found = list_rows(
            connection,
            endpoint,
            revisions=None if revision is None else [revision],
            limit=limit,
            since_s=since_s,
            before_s=before_s,
            with_features=False,
        )
    asked = frozenset(metrics)
    return [_known.get(_key(one, asked), partial(_view, one, asked)) for one in found]


_known = Remembered[WindowView](KEPT)


def _key(rows: tuple[sa.Row[Any], ...], metrics: frozenset[str]) -> Key:
    return (metrics, *map(key_of, rows))


def _view(rows: tuple[sa.Row[Any], ...], metrics: frozenset[str]) -> WindowView:
    """Return what the rows of a window tell: the same rows always tell the same."""
    window = merge_windows([unpack(row) for row in rows])
    has_labels = window.quality.label_count > 0
    quality = {name: window.quality.value(name) for name in sorted(metrics)} if has_labels else {}
    has_times = window.latency.count > 0
    return WindowView(
        start_s=window.key.start_s,
        end_s=window.end_s,
        revision=window.key.revision,
        version=window.key.version,
        route=window.key.route,
        request_count=window.request_count,
        error_count=window.error_count,
        error_ratio=window.error_ratio,
        row_count=window.row_count,
        dropped_count=window.dropped_count,
        nonfinite_row_count=window.nonfinite_row_count,
        p50_ms=1000 * window.quantile_s(0.5) if has_times else None,
        p99_ms=1000 * window.quantile_s(0.99) if has_times else None,
        label_count=window.quality.label_count,
        quality={name: value for name, value in quality.items() if math.isfinite(value)},
    )
