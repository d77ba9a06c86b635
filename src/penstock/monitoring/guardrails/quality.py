"""The guardrail on how right predictions are, against the stable version, the offline evaluation or a bound.

A breach says that the metric is surely worse by more than the guardrail allows, so a drop within what is
allowed is none however many labels there are (non-inferiority). What it is compared with is uncertain too:
the stable version has its own labels, the offline metric the rows it was computed on.

Source: Blackwelder, "Proving the null hypothesis in clinical trials", Controlled Clinical Trials 3, 1982
(the margin).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from penstock.base.numbers import counted
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.limits import QualityLimit
from penstock.monitoring.guardrails.measured import ALPHA, Measured, Reference, make_finding
from penstock.monitoring.windows import Window
from penstock.stats.confidence import laddered_evidence
from penstock.stats.evidence import chance_words, threshold
from penstock.stats.metric_names import LOWER_IS_BETTER

ASSUMED_ROWS = 1000
"""Held-out rows behind an offline metric of which nobody said how many there were."""
SCALE = 0.05
"""A fault is expected to cost this share of the metric, or as much again as is allowed, or many times that."""


def judge_against_rival(
    limit: QualityLimit, window: Window, rival: Window, *, alpha: float = ALPHA
) -> Iterator[Finding]:
    """Compare the labels of a canary with the stable version's; no finding while they are too few.

    May be asked after every label: chance alone breaches with at most `alpha` over the life of a revision.
    """
    if min(window.quality.label_count, rival.quality.label_count) < limit.min_labels:
        return
    expected = rival.quality.metric(limit.metric)
    yield from _judge_drop(limit, window, expected, "the stable version", alpha)


def judge_against_offline(
    limit: QualityLimit, window: Window, reference: Reference, *, alpha: float = ALPHA
) -> Iterator[Finding]:
    """Compare the labels of a version with its offline evaluation; no finding while they are too few."""
    expected = reference.metrics.get(limit.metric)
    if expected is None or window.quality.label_count < limit.min_labels:
        return
    rows = reference.row_count or ASSUMED_ROWS
    live_error = window.quality.metric(limit.metric)[1]
    error = live_error * math.sqrt(window.quality.label_count / rows)
    yield from _judge_drop(limit, window, (expected, error), "its offline evaluation", alpha)


def judge_against_bound(limit: QualityLimit, window: Window, *, alpha: float = ALPHA) -> Iterator[Finding]:
    """Compare the labels of any version with the worst that the metric may be; no finding while they are too few."""
    bound = limit.bound
    observed, error = window.quality.metric(limit.metric)
    if bound is None or window.quality.label_count < limit.min_labels or math.isnan(observed + error):
        return
    excess = observed - bound if limit.metric in LOWER_IS_BETTER else bound - observed
    found = laddered_evidence(excess, error, SCALE * abs(bound) or SCALE)
    count, breached = window.quality.label_count, found >= threshold(alpha)
    words = "surely beyond" if breached else "beyond, and not surely so yet," if excess > 0 else "within"
    yield make_finding(
        "quality",
        window,
        Measured(
            name=limit.name,
            observed=observed,
            limit=bound,
            count=count,
            statistic="log_evidence",
            statistic_value=found,
            breached=breached,
        ),
        f"live {limit.metric} is {observed:.4g} over {counted(count, 'label')} (standard error {error:.2g}), {words} "
        f"the {'most' if limit.metric in LOWER_IS_BETTER else 'least'} that is allowed, {bound:g}"
        f"{'; ' + chance_words(found) if breached else ''}",
    )


def drop_evidence(drop: float, allowed: float, expected: float, error: float) -> float:
    """Return the log evidence that a metric is worse than expected by more than is allowed, by however much."""
    return laddered_evidence(drop - allowed, error, max(allowed, SCALE * abs(expected)) or SCALE)


def _judge_drop(
    limit: QualityLimit, window: Window, other: tuple[float, float], against: str, alpha: float
) -> Iterator[Finding]:
    observed, error = window.quality.metric(limit.metric)
    expected, other_error = other
    both_errors = math.hypot(error, other_error)
    if math.isnan(observed) or math.isnan(expected) or math.isnan(both_errors):
        return
    drop = observed - expected if limit.metric in LOWER_IS_BETTER else expected - observed
    found = drop_evidence(drop, limit.allowed, expected, both_errors)
    count = window.quality.label_count
    breached = found >= threshold(alpha)
    yield make_finding(
        "quality",
        window,
        Measured(
            name=limit.metric,
            observed=observed,
            limit=limit.allowed,
            against=expected,
            count=count,
            statistic="log_evidence",
            statistic_value=found,
            breached=breached,
        ),
        f"live {limit.metric} is {observed:.4f} over {counted(count, 'label')}, {expected:.4f} for {against}: "
        f"{'worse' if drop > 0 else 'better'} by {abs(drop):.4f} (standard error {both_errors:.4f}), "
        f"{_verdict(drop, limit.allowed, breached)} the {limit.allowed:g} that is allowed"
        f"{'; ' + chance_words(found) if breached else ''}",
    )


def _verdict(drop: float, allowed: float, breached: bool) -> str:
    if breached:
        return "surely more than"
    return "more than, and not surely so yet," if drop > allowed else "within"
