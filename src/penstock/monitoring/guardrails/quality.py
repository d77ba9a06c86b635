"""The guardrail on how right predictions are, against the stable version or the offline evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterator

from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.measured import Measured, Reference, make_finding
from penstock.monitoring.quality import LOWER_IS_BETTER
from penstock.monitoring.settings import QualityLimit
from penstock.monitoring.windows import Window
from penstock.stats.detectors import SURE_Z, drop_z


def judge_against_rival(limit: QualityLimit, window: Window, rival: Window) -> Iterator[Finding]:
    if min(window.quality.label_count, rival.quality.label_count) < limit.min_labels:
        return
    observed, error = window.quality.metric(limit.metric)
    expected, rival_error = rival.quality.metric(limit.metric)
    yield from _judge_drop(limit, window, (observed, error), (expected, rival_error), "the stable version")


def judge_against_offline(limit: QualityLimit, window: Window, reference: Reference) -> Iterator[Finding]:
    expected = reference.metrics.get(limit.metric)
    if expected is None or window.quality.label_count < limit.min_labels:
        return
    yield from _judge_drop(
        limit, window, window.quality.metric(limit.metric), (expected, 0.0), "its offline evaluation"
    )


def _judge_drop(
    limit: QualityLimit, window: Window, live: tuple[float, float], other: tuple[float, float], against: str
) -> Iterator[Finding]:
    (observed, error), (expected, other_error) = live, other
    if math.isnan(observed) or math.isnan(expected):
        return
    drop = observed - expected if limit.metric in LOWER_IS_BETTER else expected - observed
    z = drop_z(drop, error, other_error)
    count = window.quality.label_count
    yield make_finding(
        "quality",
        window,
        Measured(
            name=limit.metric,
            observed=observed,
            limit=limit.max_drop,
            against=expected,
            count=count,
            statistic="z",
            statistic_value=z,
            breached=drop > limit.max_drop and z >= SURE_Z,
        ),
        f"live {limit.metric} is {observed:.4f} over {count} labels, {expected:.4f} for {against}: "
        f"{'worse' if drop > 0 else 'better'} by {abs(drop):.4f} (z = {z:.1f}); at most {limit.max_drop:g} worse is allowed",
    )
