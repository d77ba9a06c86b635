"""The guardrail on how right predictions are, against the stable version, the offline evaluation or a bound.

A breach says that the metric is surely worse by more than the guardrail allows, so a drop within what is
allowed is none however many labels there are (non-inferiority). What it is compared with is uncertain too:
the stable version has its own labels, the offline metric the rows it was computed on.

The labels of a stable version are a set that moves on. Each set is evidence from the moment on where it begins, and
these are added with weights whose sum over all moments is one, so that the chance to be misled holds for the
version's whole life and not for each set anew (Shin, Ramdas, Rinaldo, "E-detectors", 2022).

Source: Blackwelder, "Proving the null hypothesis in clinical trials", Controlled Clinical Trials 3, 1982
(the margin).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from penstock.base.numbers import counted
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.limits import QualityLimit
from penstock.monitoring.guardrails.measured import ALPHA, Measured, Reference, make_finding
from penstock.monitoring.labelled import LabelSpan
from penstock.monitoring.windows import Window
from penstock.records.metric_names import LOWER_IS_BETTER
from penstock.stats.confidence import excess_evidence, mean_evidence
from penstock.stats.evidence import chance_words, change_weights, log_sum, threshold

ASSUMED_ROWS = 1000
"""Held-out rows behind an offline metric of which nobody said how many there were."""
SCALE = 0.05
"""A fault is expected to cost this share of the metric, or as much again as is allowed,"""
SPREAD = (1.0, 8.0, 64.0)
"""or many times that: evidence is the mean over these, so that a very bad version is found as soon."""


Drop = tuple[float, float]
"""By how much a metric is worse than it may be, and its error; NaN where it is not known."""


def judge_against_rival(
    limit: QualityLimit, window: Window, rival: Window, *, alpha: float = ALPHA, earlier: int = 0
) -> Iterator[Finding]:
    """Compare the labels of a canary with the stable version's; no finding while they are too few.

    May be asked after every label: chance alone breaches with at most `alpha` over the life of a revision.

    Args:
        earlier: how many windows of the rollout came before the first label that counts.
    """
    if min(window.quality.label_count, rival.quality.label_count) < limit.min_labels:
        return
    expected = rival.quality.metric(limit.metric)
    spans = (LabelSpan(window=window, earlier=earlier),)
    yield from _judge_drop(limit, spans, lambda _: expected, "the stable version", alpha)


def judge_against_offline(
    limit: QualityLimit,
    window: Window,
    reference: Reference,
    *,
    alpha: float = ALPHA,
    spans: Sequence[LabelSpan] = (),
) -> Iterator[Finding]:
    """Compare the labels of a version with its offline evaluation; no finding while they are too few.

    May be asked after every label: chance alone breaches with at most `alpha` over the life of the version.

    Args:
        spans: the same labels and longer spans that end with them, the shortest first.
    """
    expected = reference.metrics.get(limit.metric)
    if expected is None or window.quality.label_count < limit.min_labels:
        return
    rows = reference.row_count or ASSUMED_ROWS

    def told(one: Window) -> tuple[float, float]:
        return expected, one.quality.metric(limit.metric)[1] * math.sqrt(one.quality.label_count / rows)

    yield from _judge_drop(limit, spans or (LabelSpan(window=window),), told, "its offline evaluation", alpha)


def judge_against_bound(
    limit: QualityLimit, window: Window, *, alpha: float = ALPHA, spans: Sequence[LabelSpan] = ()
) -> Iterator[Finding]:
    """Compare the labels of any version with the worst that the metric may be; no finding while they are too few.

    Args:
        spans: the same labels and longer spans that end with them, the shortest first.
    """
    bound = limit.bound
    if bound is None or window.quality.label_count < limit.min_labels:
        return

    def excess_of(one: Window) -> Drop:
        observed, error = one.quality.metric(limit.metric)
        return (observed - bound if limit.metric in LOWER_IS_BETTER else bound - observed), error

    found, chosen = _weigh(
        spans or (LabelSpan(window=window),), excess_of, SCALE * abs(bound) or SCALE, alpha
    )
    if chosen is None:
        return
    observed, error = chosen.quality.metric(limit.metric)
    excess = excess_of(chosen)[0]
    count, breached = chosen.quality.label_count, found >= threshold(alpha)
    words = "surely beyond" if breached else "beyond, and not surely so yet," if excess > 0 else "within"
    yield make_finding(
        "quality",
        chosen,
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


def _weigh(
    spans: Sequence[LabelSpan], excess_of: Callable[[Window], Drop], scale: float, alpha: float
) -> tuple[float, Window | None]:
    """Return the evidence of all spans together, and the one to tell of: on a breach the one that says most.

    Without a breach it is the shortest whose metric is known; None where none is.
    """
    known: list[tuple[float, Window]] = []
    for one in spans:
        excess, error = excess_of(one.window)
        if not math.isnan(excess + error):
            weight = float(change_weights(1, one.earlier)[0])
            known.append((weight + _evidence(excess, error, scale), one.window))
    if not known:
        return 0.0, None
    found = log_sum([evidence for evidence, _ in known])
    most = max(known, key=lambda one: one[0])
    return found, most[1] if found >= threshold(alpha) else known[0][1]


def _evidence(excess: float, error: float, scale: float) -> float:
    return mean_evidence([excess_evidence(excess, error, scale * by) for by in SPREAD])


def _judge_drop(
    limit: QualityLimit,
    spans: Sequence[LabelSpan],
    expected_of: Callable[[Window], tuple[float, float]],
    against: str,
    alpha: float,
) -> Iterator[Finding]:
    def measured(one: Window) -> tuple[float, float, float, float]:
        observed, error = one.quality.metric(limit.metric)
        expected, other_error = expected_of(one)
        drop = observed - expected if limit.metric in LOWER_IS_BETTER else expected - observed
        return observed, expected, drop, math.hypot(error, other_error)

    def excess_of(one: Window) -> Drop:
        _, _, drop, error = measured(one)
        return drop - limit.allowed, error

    size = abs(expected_of(spans[0].window)[0])
    scale = max(limit.allowed, SCALE * size) if math.isfinite(size) else limit.allowed
    found, chosen = _weigh(spans, excess_of, scale, alpha)
    if chosen is None:
        return
    observed, expected, drop, both_errors = measured(chosen)
    count = chosen.quality.label_count
    breached = found >= threshold(alpha)
    yield make_finding(
        "quality",
        chosen,
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
