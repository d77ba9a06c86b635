"""Guardrails: limits on windows, judged with the certainty that the counts allow.

A pure function of windows and limits. A breach needs two things: the value is over its limit, and chance
does not explain it. Every guardrail that had something to judge gives a finding, breached or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from penstock.monitoring.drift import FeatureDrift, compare
from penstock.monitoring.findings import Finding, Kind
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality import LOWER_IS_BETTER
from penstock.monitoring.settings import DriftLimit, ErrorsLimit, GuardrailEntry, LatencyLimit, QualityLimit
from penstock.monitoring.windows import Window
from penstock.stats.detectors import SURE_Z, drop_z, ratio_lower_bound

MIN_REQUESTS = 20
"""Fewer requests tell nothing about errors or latency."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was like when it passed its gate: its training profile and offline metrics."""

    profile: Profile | None = None
    metrics: Mapping[str, float] = {}


class _Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a finding that its guardrail knows."""

    name: str
    observed: float
    limit: float
    against: float | None = None
    count: int
    statistic: str
    statistic_value: float
    breached: bool


def judge(
    guardrails: Sequence[GuardrailEntry],
    *,
    stable: Window | None,
    canary: Window | None,
    reference: Reference | None,
) -> list[Finding]:
    """Judge recent traffic, merged to one window a route, against every guardrail.

    A canary's quality is compared with the stable route's in the same windows; the stable route's, with
    the offline metrics of the reference. Features of both are compared with the reference's profile.
    """
    found: list[Finding] = []
    for entry in guardrails:
        for window in (stable, canary):
            if window is not None:
                rival = stable if window is canary else None
                found += (_with_action(one, entry) for one in _judge(entry, window, rival, reference))
    return found


def _with_action(finding: Finding, entry: GuardrailEntry) -> Finding:
    return msgspec.structs.replace(finding, action=entry.own_action)


def _judge(
    entry: GuardrailEntry, window: Window, rival: Window | None, reference: Reference | None
) -> Iterator[Finding]:
    if entry.errors is not None:
        yield from _judge_errors(entry.errors, window)
    if entry.latency is not None:
        yield from _judge_latency(entry.latency, window)
    if entry.drift is not None and reference is not None and reference.profile is not None:
        yield from _judge_drift(entry.drift, window, reference.profile)
    if entry.quality is not None:
        if rival is not None:
            if entry.quality.against != "offline":
                yield from _judge_against_rival(entry.quality, window, rival)
        elif window.key.route == "stable" and reference is not None and entry.quality.against != "stable":
            yield from _judge_against_offline(entry.quality, window, reference)


def _judge_errors(limit: ErrorsLimit, window: Window) -> Iterator[Finding]:
    if window.request_count < MIN_REQUESTS:
        return
    bound = ratio_lower_bound(window.error_count, window.request_count)
    yield _finding(
        "errors",
        window,
        _Measured(
            name="error_ratio",
            observed=window.error_ratio,
            limit=limit.max_ratio,
            count=window.request_count,
            statistic="lower_bound",
            statistic_value=bound,
            breached=bound > limit.max_ratio,
        ),
        f"{window.error_count} of {window.request_count} requests failed "
        f"({window.error_ratio:.2%}, surely above {bound:.2%}); the limit is {limit.max_ratio:.2%}",
    )


def _judge_latency(limit: LatencyLimit, window: Window) -> Iterator[Finding]:
    """Judge by the count of requests that were surely slower: exact, whatever the distribution."""
    count = window.latency.count
    if count < MIN_REQUESTS:
        return
    observed = window.quantile_s(limit.rank)
    slow = window.latency.count_above(limit.limit_s)
    bound = ratio_lower_bound(slow, count)
    name = f"p{limit.rank * 100:.0f}"
    yield _finding(
        "latency",
        window,
        _Measured(
            name=name,
            observed=observed,
            limit=limit.limit_s,
            count=count,
            statistic="lower_bound",
            statistic_value=bound,
            breached=bound > 1 - limit.rank,
        ),
        f"{name} latency is {observed * 1000:.1f} ms over {count} requests, {slow} of them slower "
        f"than the limit of {limit.limit_s * 1000:g} ms",
    )


def _judge_drift(limit: DriftLimit, window: Window, profile: Profile) -> Iterator[Finding]:
    if window.features.row_count < limit.min_rows:
        return
    covered = [one for one in compare(profile, window.features) if limit.covers(one.feature)]
    over = [one for one in covered if _has_drifted(one, limit)]
    for one in over or covered[:1]:
        is_over = _has_drifted(one, limit)
        missing = (
            f", missing {one.missing_ratio_reference:.1%} before and {one.missing_ratio_current:.1%} now"
            if abs(one.missing_ratio_current - one.missing_ratio_reference) > 0.01
            else ""
        )
        words = "is over" if is_over else "of all watched features the largest, is surely not over"
        yield _finding(
            "drift",
            window,
            _Measured(
                name=one.feature,
                observed=one.psi,
                limit=limit.psi_max,
                count=one.n_current,
                statistic="psi",
                statistic_value=one.psi,
                breached=is_over,
            ),
            f"PSI of {one.feature} is {one.psi:.3f} over {one.n_current} rows{missing}; it {words} "
            f"the limit of {limit.psi_max:g} (chance alone: up to {one.noise:.3f})",
        )


def _has_drifted(one: FeatureDrift, limit: DriftLimit) -> bool:
    return one.psi > limit.psi_max and one.psi > one.noise


def _judge_against_rival(limit: QualityLimit, window: Window, rival: Window) -> Iterator[Finding]:
    if min(window.quality.label_count, rival.quality.label_count) < limit.min_labels:
        return
    observed, error = window.quality.metric(limit.metric)
    expected, rival_error = rival.quality.metric(limit.metric)
    yield from _judge_drop(limit, window, (observed, error), (expected, rival_error), "the stable version")


def _judge_against_offline(limit: QualityLimit, window: Window, reference: Reference) -> Iterator[Finding]:
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
    yield _finding(
        "quality",
        window,
        _Measured(
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


def _finding(kind: Kind, window: Window, measured: _Measured, sentence: str) -> Finding:
    key = window.key
    return Finding(
        kind=kind,
        endpoint=key.endpoint,
        revision=key.revision,
        version=key.version,
        route=key.route,
        start_s=key.start_s,
        end_s=window.end_s,
        sentence=f"{key.route} version {key.version}: {sentence}",
        **msgspec.structs.asdict(measured),
    )
