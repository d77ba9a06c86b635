"""How much of what a guardrail needs is there yet, in words: what is said while it cannot be judged."""

from __future__ import annotations

import math

from penstock.base.numbers import counted
from penstock.monitoring.findings import Unjudged
from penstock.monitoring.guardrails import freshness
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.limits import MultivariateLimit, QualityLimit
from penstock.monitoring.guardrails.measured import MIN_REQUESTS
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.rowwise.rows import Rows
from penstock.monitoring.settings import GuardrailEntry

DAY_S = 23 * 3600
"""Older windows than of a day are not gathered; what spans nearly one has all that there is."""
Lacking = tuple[int, tuple[Unjudged, str]]
"""How many requests, rows or labels there are, and why they are not enough."""


def too_few(entry: GuardrailEntry, traffic: Traffic, rival: Traffic | None) -> Lacking:
    """Say how much of what a guardrail needs is there yet."""
    if entry.quality is not None:
        return _labels(entry.quality, traffic, None if entry.quality.bound is not None else rival)
    if entry.multivariate is not None:
        return _rows(entry.multivariate, traffic.rows_for(entry.multivariate))
    if entry.slices is not None:
        return _slices(traffic, rival)
    if entry.outliers is not None:
        blocks = traffic.blocks or ([Block.of(traffic.recent)] if traffic.recent else [])
        scored = sum(one.scored_row_count for one in blocks)
        more = _where_it_stays(scored, entry.outliers.min_rows, traffic)
        return scored, ("too_few", f"{scored} of {counted(entry.outliers.min_rows, 'row')} scored yet{more}")
    recent = traffic.recent
    if entry.freshness is not None:
        count, words = freshness.lacking(entry.freshness, recent)
        return count, ("too_few", words)
    of_features = entry.drift or entry.values
    if of_features is not None:
        held = traffic.holding(of_features.min_rows)
        rows = held.features.row_count if held else 0
        is_whole_day = held is not None and held.window_s >= DAY_S
        more = (
            " in a day; a larger monitor.feature_ratio or a smaller min_rows is judged"
            if is_whole_day
            else ""
        )
        return rows, ("too_few", f"{rows:,} of {counted(of_features.min_rows, 'row')} yet{more}")
    requests = recent.request_count if recent else 0
    more = _where_it_stays(requests, MIN_REQUESTS, traffic)
    return requests, ("too_few", f"{requests} of {counted(MIN_REQUESTS, 'request')} yet{more}")


def _where_it_stays(count: int, needed: int, traffic: Traffic) -> str:
    """Say what to set where all windows that are judged together are full, and hold too little."""
    if not traffic.earlier or not 0 < count < needed:
        return ""
    return f"; where traffic stays so it never is: {math.ceil(needed / count)} times as many monitor.windows hold enough"


def _labels(limit: QualityLimit, traffic: Traffic, rival: Traffic | None) -> Lacking:
    labelled, others = traffic.labels_for(limit), None if rival is None else rival.labels_for(limit)
    own = labelled.quality.label_count if labelled else 0
    needed = limit.min_labels
    if own >= needed and rival is not None:
        other = others.quality.label_count if others else 0
        if other < needed:
            return own, ("too_few", f"{other} of {counted(needed, 'label')} of the stable version yet")
    for one, whose in ((labelled, ""), (others, " of the stable version")):
        lacking = one.quality.lacking(limit.metric) if one else None
        if own >= needed and lacking is not None:
            return own, ("too_few", lacking + whose)
    if own >= needed:
        return own, ("undecided", f"{counted(own, 'label does', 'labels do')} not tell it yet")
    return own, ("too_few", f"{own} of {counted(needed, 'label')} yet")


def _slices(traffic: Traffic, rival: Traffic | None) -> Lacking:
    count = sum(one.label_count for one in traffic.slices)
    lacking = "no slice has enough labels yet"
    if traffic.slices:
        lacking = "no slice has labels enough of each class yet"
    if rival is not None and traffic.slices and not rival.slices:
        lacking = "no slice of the stable version has enough labels yet"
    return count, ("too_few", lacking)


def _rows(limit: MultivariateLimit, rows: Rows | None) -> Lacking:
    count = rows.row_count if rows is not None else 0
    if count >= limit.min_rows:
        return count, ("too_few", f"{counted(count, 'row is', 'rows are')} of too few requests yet")
    more = "; a larger monitor.feature_ratio keeps more" if count else ""
    return count, ("too_few", f"the features of {count:,} of {counted(limit.min_rows, 'row')} kept yet{more}")
