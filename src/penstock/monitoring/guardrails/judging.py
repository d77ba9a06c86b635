"""Ask every guardrail of an endpoint: a pure function of its traffic, its limits and its references.

Every guardrail gives a finding on every route it is on: breached, held, or not judged and why. The kinds
know when a value is over its limit and chance does not explain it; here is who is asked about what.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.base.clock import format_ms
from penstock.monitoring.findings import OF_FEATURES, Finding, Kind
from penstock.monitoring.guardrails import freshness, multivariate, outliers
from penstock.monitoring.guardrails.drift import judge_drift
from penstock.monitoring.guardrails.errors import judge_errors
from penstock.monitoring.guardrails.freshness import judge_age, judge_silence
from penstock.monitoring.guardrails.judgeable import obstacles
from penstock.monitoring.guardrails.lacking import too_few
from penstock.monitoring.guardrails.latency import judge_latency
from penstock.monitoring.guardrails.limits import QualityLimit
from penstock.monitoring.guardrails.measured import ALPHA, make_unjudged
from penstock.monitoring.guardrails.multivariate import judge_multivariate
from penstock.monitoring.guardrails.outliers import judge_outliers
from penstock.monitoring.guardrails.outputs import judge_outputs
from penstock.monitoring.guardrails.quality import (
    judge_against_bound,
    judge_against_offline,
    judge_against_rival,
)
from penstock.monitoring.guardrails.slices import judge_slices
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.monitoring.guardrails.values import judge_values
from penstock.monitoring.settings import EndpointSettings, GuardrailEntry
from penstock.stats.evidence import split

OF_LIVE_TRAFFIC = frozenset({"errors", "latency", "freshness"})
"""Kinds that a table which a batch job scored says nothing of."""
OF_ALL = frozenset({"no_reference", "metric_absent", "no_probability"})
"""Reasons that keep every feature, or slice, of a guardrail from being judged."""


def judge(
    guardrails: Sequence[GuardrailEntry],
    stable: Traffic,
    canary: Traffic | None = None,
    beside: Traffic | None = None,
    *,
    nonfinite_max_ratio: float = 0.01,
    slow: dict[tuple[int, str], list[Finding]] | None = None,
) -> list[Finding]:
    """Judge the traffic of both routes against every guardrail.

    A canary's quality is compared with the stable route's; the stable route's, with the offline metrics
    of its reference. Features of each are compared with its own reference.

    Answers that are no finite numbers are judged on every route, whatever the guardrails are.

    Args:
        beside: the stable route since the canary came, which the canary is compared with; else `stable`.
        nonfinite_max_ratio: share of such answers that is borne.
        slow: what features and labels said, by guardrail and route: what is there is not judged again, and
            what is judged is added.
    """
    found: list[Finding] = []
    for traffic in (stable, canary):
        if traffic is not None and traffic.recent is not None:
            others = (beside or stable).blocks if traffic is canary else None
            earlier = traffic.earlier if traffic.blocks else 0
            found += judge_outputs(
                nonfinite_max_ratio, traffic.recent, traffic.blocks, others, earlier=earlier
            )
    alpha = split(ALPHA, len(guardrails))
    for index, entry in enumerate(guardrails):
        for traffic in (stable, canary):
            if traffic is None:
                continue
            place = (index, traffic.key.route)
            if slow is not None and place in slow:
                found += slow[place]
                continue
            asked = _ask(entry, traffic, (beside or stable) if traffic is canary else None, alpha)
            judged = [msgspec.structs.replace(one, action=entry.own_action) for one in asked]
            if slow is not None and entry.is_slow:
                slow[place] = judged
            found += judged
    return found


def judge_batch(settings: EndpointSettings, traffic: Traffic) -> tuple[Finding, ...]:
    """Judge what batch jobs asked the stable version, as far as that is about its rows and labels."""
    asked = [one for one in settings.guardrails if one.kind not in OF_LIVE_TRAFFIC]
    return tuple(judge(asked, traffic, nonfinite_max_ratio=settings.monitor.nonfinite_max_ratio))


def _ask(entry: GuardrailEntry, traffic: Traffic, rival: Traffic | None, alpha: float) -> list[Finding]:
    if entry.quality is not None and _is_elsewhere(entry.quality, rival):
        return []
    if entry.freshness is not None and entry.freshness.max_silence_s is not None:
        # a canary with a small share may be silent; the endpoint is while the stable version is
        # and a version that has just come is not silent for what was before it
        last_s = None if traffic.heard_s is None else max(traffic.heard_s, traffic.began_s)
        found = [] if rival is not None else list(judge_silence(entry.freshness, traffic.key, last_s))
        if found or rival is not None:
            return found
    kind, name, limit = _named(entry)
    against = obstacles(
        entry,
        traffic.reference,
        is_canary=rival is not None,
        feature_ratio=traffic.feature_ratio,
        sliced=traffic.sliced,
    )
    if entry.freshness is not None and traffic.recent is not None:
        # a column that comes can be judged, whatever the reference has
        is_there = entry.freshness.column in traffic.recent.features.column_names
        against = [] if is_there else against
    unjudged = [
        make_unjudged(kind, traffic.key, one, limit, 0, (reason, words)) for one, reason, words in against
    ]
    if unjudged and (kind not in OF_FEATURES or any(one.unjudged in OF_ALL for one in unjudged)):
        return unjudged
    is_of_windows = entry.quality is None and entry.multivariate is None and entry.slices is None
    if is_of_windows and traffic.recent is None:
        return [make_unjudged(kind, traffic.key, name, limit, 0, ("no_traffic", _since(traffic.last_s)))]
    judged = _judged(entry, traffic, rival, alpha)
    if not judged and not unjudged:
        count, why = too_few(entry, traffic, rival)
        return [make_unjudged(kind, traffic.key, name, limit, count, why)]
    return judged + unjudged


def _judged(entry: GuardrailEntry, traffic: Traffic, rival: Traffic | None, alpha: float) -> list[Finding]:
    recent = traffic.recent
    others = None if rival is None else rival.blocks
    earlier = traffic.earlier if traffic.blocks else 0
    if entry.errors is not None and recent is not None:
        return list(judge_errors(entry.errors, recent, traffic.blocks, others, alpha=alpha, earlier=earlier))
    if entry.latency is not None and recent is not None:
        return list(
            judge_latency(entry.latency, recent, traffic.blocks, others, alpha=alpha, earlier=earlier)
        )
    if entry.outliers is not None and recent is not None:
        return list(judge_outliers(entry.outliers, recent, traffic.blocks, alpha=alpha, earlier=earlier))
    if entry.slices is not None:
        stable = None if rival is None else rival.slices
        return list(
            judge_slices(entry.slices, traffic.key, traffic.slices, stable, traffic.slice_labels, alpha=alpha)
        )
    if entry.freshness is not None and recent is not None:
        return list(judge_age(entry.freshness, recent))
    profile = traffic.reference.profile
    of_rows = entry.values or entry.drift
    window = None if of_rows is None else traffic.holding(of_rows.min_rows)
    if entry.values is not None and window is not None and profile is not None:
        return list(judge_values(entry.values, window, profile, traffic.left_out))
    if entry.drift is not None and window is not None and profile is not None:
        is_compared = window is traffic.holding(traffic.drifts_of)
        return list(judge_drift(entry.drift, window, profile, traffic.drifts if is_compared else None))
    if entry.multivariate is not None:
        rows = traffic.rows_for(entry.multivariate)
        if rows is None:
            return []
        return list(
            judge_multivariate(entry.multivariate, traffic.key, rows, traffic.reference, traffic.left_out)
        )
    return [] if entry.quality is None else _judged_quality(entry.quality, traffic, rival, alpha)


def _judged_quality(
    limit: QualityLimit, traffic: Traffic, rival: Traffic | None, alpha: float
) -> list[Finding]:
    labelled = traffic.labels_for(limit)
    if labelled is None:
        return []
    if limit.bound is not None:
        return list(judge_against_bound(limit, labelled, alpha=alpha))
    if rival is None:
        return list(judge_against_offline(limit, labelled, traffic.reference, alpha=alpha))
    beside = rival.labels_for(limit)
    return [] if beside is None else list(judge_against_rival(limit, labelled, beside, alpha=alpha))


def _is_elsewhere(limit: QualityLimit, rival: Traffic | None) -> bool:
    """Whether a quality guardrail is on the other route only."""
    return limit.against == ("offline" if rival is not None else "stable")


def _named(entry: GuardrailEntry) -> tuple[Kind, str, float]:
    if entry.errors is not None:
        return "errors", "error_ratio", entry.errors.max_ratio
    if entry.latency is not None:
        return "latency", f"p{entry.latency.rank * 100:.0f}", entry.latency.limit_s
    if entry.drift is not None:
        name = "features" if entry.drift.features == "any" else ", ".join(entry.drift.features)
        return "drift", name, entry.drift.psi_max
    if entry.multivariate is not None:
        return "multivariate", multivariate.NAME, entry.multivariate.auc_max
    if entry.outliers is not None:
        return "outliers", outliers.NAME, entry.outliers.max_ratio
    if entry.values is not None:
        name = "features" if entry.values.features == "any" else ", ".join(entry.values.features)
        limits = (entry.values.missing_max, entry.values.out_of_range_max, entry.values.unseen_max)
        return "values", name, next((one for one in limits if one is not None), 0.0)
    if entry.freshness is not None:
        most = entry.freshness.max_silence_s or entry.freshness.max_age_s or 0.0
        return "freshness", freshness.name_of(entry.freshness), most
    if entry.slices is not None:
        return "slices", entry.slices.metric, entry.slices.max_drop
    assert entry.quality is not None
    return "quality", entry.quality.name, entry.quality.allowed


def _since(last_s: int | None) -> str:
    return "no traffic yet" if last_s is None else f"no traffic since {format_ms(last_s * 1000)}"
