"""Ask every guardrail of an endpoint: a pure function of its traffic, its limits and its references.

Every guardrail gives a finding on every route it is on: breached, held, or not judged and why. The kinds
know when a value is over its limit and chance does not explain it; here is who is asked about what.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.base.clock import format_ms
from penstock.monitoring.drift import FeatureDrift
from penstock.monitoring.findings import Finding, Kind, Unjudged
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.drift import judge_drift
from penstock.monitoring.guardrails.errors import judge_errors
from penstock.monitoring.guardrails.judgeable import obstacles
from penstock.monitoring.guardrails.latency import judge_latency
from penstock.monitoring.guardrails.measured import ALPHA, MIN_REQUESTS, Reference, make_unjudged
from penstock.monitoring.guardrails.outputs import judge_outputs
from penstock.monitoring.guardrails.quality import judge_against_offline, judge_against_rival
from penstock.monitoring.settings import GuardrailEntry, QualityLimit
from penstock.monitoring.windows import Window, WindowKey
from penstock.stats.evidence import split


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """One route: `recent` is its newest traffic merged, `labelled` the predictions whose labels count.

    `drifts` are the features of `recent` compared with the reference, where that was done already.
    `blocks` are its traffic since what is compared began, in spans of time, oldest first, and `earlier` how
    many came before them and are no longer looked at. `last_s` is when its newest window ended, also when that is too long ago to be judged.
    """

    key: WindowKey
    recent: Window | None = None
    labelled: Window | None = None
    blocks: tuple[Block, ...] = ()
    earlier: int = 0
    last_s: int | None = None
    reference: Reference = Reference()
    drifts: tuple[FeatureDrift, ...] | None = None


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
            if slow is not None and (entry.drift is not None or entry.quality is not None):
                slow[place] = judged
            found += judged
    return found


def _ask(entry: GuardrailEntry, traffic: Traffic, rival: Traffic | None, alpha: float) -> list[Finding]:
    if entry.quality is not None and _is_elsewhere(entry.quality, rival):
        return []
    kind, name, limit = _named(entry)
    against = obstacles(entry, traffic.reference, is_canary=rival is not None)
    unjudged = [
        make_unjudged(kind, traffic.key, one, limit, 0, (reason, words)) for one, reason, words in against
    ]
    if unjudged and (kind != "drift" or any(one.unjudged == "no_reference" for one in unjudged)):
        return unjudged
    if entry.quality is None and traffic.recent is None:
        return [make_unjudged(kind, traffic.key, name, limit, 0, ("no_traffic", _since(traffic.last_s)))]
    judged = _judged(entry, traffic, rival, alpha)
    if not judged and not unjudged:
        count, why = _too_few(entry, traffic, rival)
        return [make_unjudged(kind, traffic.key, name, limit, count, why)]
    return judged + unjudged


def _judged(entry: GuardrailEntry, traffic: Traffic, rival: Traffic | None, alpha: float) -> list[Finding]:
    recent, labelled = traffic.recent, traffic.labelled
    others = None if rival is None else rival.blocks
    earlier = traffic.earlier if traffic.blocks else 0
    if entry.errors is not None and recent is not None:
        return list(judge_errors(entry.errors, recent, traffic.blocks, others, alpha=alpha, earlier=earlier))
    if entry.latency is not None and recent is not None:
        return list(
            judge_latency(entry.latency, recent, traffic.blocks, others, alpha=alpha, earlier=earlier)
        )
    if entry.drift is not None and recent is not None and traffic.reference.profile is not None:
        return list(judge_drift(entry.drift, recent, traffic.reference.profile, traffic.drifts))
    if entry.quality is not None and labelled is not None:
        if rival is None:
            return list(judge_against_offline(entry.quality, labelled, traffic.reference, alpha=alpha))
        if rival.labelled is not None:
            return list(judge_against_rival(entry.quality, labelled, rival.labelled, alpha=alpha))
    return []


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
    assert entry.quality is not None
    return "quality", entry.quality.metric, entry.quality.max_drop


def _too_few(
    entry: GuardrailEntry, traffic: Traffic, rival: Traffic | None
) -> tuple[int, tuple[Unjudged, str]]:
    """Say how much of what a guardrail needs is there yet."""
    if entry.quality is not None:
        own = traffic.labelled.quality.label_count if traffic.labelled else 0
        needed = entry.quality.min_labels
        if own >= needed and rival is not None:
            other = rival.labelled.quality.label_count if rival.labelled else 0
            if other < needed:
                return own, ("too_few", f"{other} of {needed} labels of the stable version yet")
        for one, whose in ((traffic, ""), (rival, " of the stable version")):
            lacking = one.labelled.quality.lacking(entry.quality.metric) if one and one.labelled else None
            if own >= needed and lacking is not None:
                return own, ("too_few", lacking + whose)
        if own >= needed:
            return own, ("undecided", f"{own} labels do not tell it yet")
        return own, ("too_few", f"{own} of {needed} labels yet")
    recent = traffic.recent
    if entry.drift is not None:
        rows = recent.features.row_count if recent else 0
        return rows, ("too_few", f"{rows} of {entry.drift.min_rows} rows yet")
    requests = recent.request_count if recent else 0
    return requests, ("too_few", f"{requests} of {MIN_REQUESTS} requests yet")


def _since(last_s: int | None) -> str:
    return "no traffic yet" if last_s is None else f"no traffic since {format_ms(last_s * 1000)}"
