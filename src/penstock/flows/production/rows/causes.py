"""Why the stable version is worse than it was: its first labelled rows beside its newest."""

from __future__ import annotations

from functools import partial

import numpy as np
import sqlalchemy as sa

from penstock.flows.production.rows.labelled import read_labelled
from penstock.monitoring.findings import Finding
from penstock.monitoring.rowwise.causes import ROWS_MIN, Cause, Untold, explain, split_where_worse
from penstock.monitoring.settings import MonitorSettings
from penstock.monitoring.windows import WindowKey

CAUSES_MAX = 1_500
"""Labelled requests that causes are told from at most."""


def find_cause(
    connection: sa.Connection, key: WindowKey, worse: Finding, since_s: float, monitor: MonitorSettings
) -> Cause | Untold:
    """Return why a metric is worse than it was over the first labelled rows since a time, or why that is not known.

    Where the windows that the finding is of hold nearly all of its labels, they are cut where the metric became worse.
    """
    begin_s, metric = worse.start_s, worse.metric
    read = partial(read_labelled, connection, key, "features", monitor=monitor)
    first = read(since_s, CAUSES_MAX, oldest=True)
    before = first.taken(np.flatnonzero(first.times_s < begin_s))
    if before.row_count >= ROWS_MIN:
        return explain(before, read(begin_s, CAUSES_MAX), metric)
    recent = read(since_s, CAUSES_MAX)
    if np.isin(first.requests, recent.requests).any():
        first, recent = split_where_worse(read(since_s, 2 * CAUSES_MAX), metric)
    return explain(first, recent, metric)
