"""The guardrail on quality by slice: no part of the traffic may be answered much worse.

A slice of the stable version is compared with all its other rows, a canary's with the same slice of the stable version.
The slices share one chance of a false alarm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from penstock.base.numbers import counted
from penstock.monitoring.findings import Finding, Unjudged
from penstock.monitoring.guardrails.limits import SlicesLimit
from penstock.monitoring.guardrails.measured import ALPHA, NEAR, Measured, make_finding, make_unjudged
from penstock.monitoring.guardrails.quality import drop_evidence
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.rowwise.slices import SliceQuality
from penstock.monitoring.windows import Window, WindowKey
from penstock.stats.evidence import chance_words, split, threshold
from penstock.stats.metric_names import LOWER_IS_BETTER

NAME = "slices"
NAMED = 5
"""So many slices are named."""


def judge_slices(
    limit: SlicesLimit,
    key: WindowKey,
    slices: Sequence[SliceQuality],
    rival: Sequence[SliceQuality] | None = None,
    counts: Mapping[str, int] = {},
    *,
    alpha: float = ALPHA,
) -> Iterator[Finding]:
    """Judge every slice: a finding for each that is worse than it may be or nearly so, else for the nearest.

    Of a canary each slice that the stable version is judged in is judged: else there is a finding that says why not.

    Args:
        rival: the stable version's slices, where a canary is judged.
        counts: how many labels the canary has by slice.
    """
    others = None if rival is None else {one.name: one.quality for one in rival}
    covered = [
        one
        for one in (slices if rival is None else rival)
        if limit.features == "any" or one.feature in limit.features
    ]
    due = [] if rival is None else covered[: limit.most]
    if others is not None:
        own = {one.name: one for one in slices}
        covered = [own[one.name] for one in due if one.name in own]
    # slices come and go with the labels: each has its share of what as many as there may be have together
    share = split(alpha, limit.most)
    found = [
        one
        for each in covered[: limit.most]
        if (one := _judge(limit, key, each, None if others is None else others[each.name], share)) is not None
    ]
    names = [one.name for one in found]
    found.sort(key=lambda one: (-one.breached, -one.statistic_value, one.name))
    told = [one for one in found if one.breached or one.near]
    for one in told or found[:1]:
        yield msgspec.structs.replace(one, sentence=f"{one.sentence}; judged in {_named(names)}")
    own_quality = {one.name: one.quality for one in slices}
    for each in due:
        if each.name in names or math.isnan(sum(each.quality.metric(limit.metric))):
            continue
        why = _lacking(limit, each, own_quality.get(each.name), counts.get(each.name, 0))
        yield make_unjudged("slices", key, each.name, limit.max_drop, counts.get(each.name, 0), why)


def _lacking(
    limit: SlicesLimit, stable: SliceQuality, own: Quality | None, count: int
) -> tuple[Unjudged, str]:
    """Say why a canary is not judged in a slice of the stable version."""
    if own is None:
        return "too_few", f"{count} of {counted(stable.needed, 'label')} yet"
    words = own.lacking(limit.metric) or f"{counted(own.label_count, 'label does', 'labels do')} not tell it"
    return "too_few", f"{words} yet"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{counted(len(names), 'slice')} ({', '.join(names[:NAMED])}{more})"


def _judge(
    limit: SlicesLimit, key: WindowKey, one: SliceQuality, other: Quality | None, alpha: float
) -> Finding | None:
    observed, error = one.quality.metric(limit.metric)
    expected, other_error = (other or one.rest).metric(limit.metric)
    both = math.hypot(error, other_error)
    if math.isnan(observed) or math.isnan(expected) or math.isnan(both):
        return None
    drop = observed - expected if limit.metric in LOWER_IS_BETTER else expected - observed
    evidence = drop_evidence(drop, limit.max_drop, expected, both)
    breached = evidence >= threshold(alpha)
    against = "the other rows" if other is None else "the stable version there"
    return make_finding(
        "slices",
        Window(key=key, window_s=0),
        Measured(
            name=one.name,
            observed=observed,
            limit=limit.max_drop,
            against=expected,
            count=one.label_count,
            statistic="log_evidence",
            statistic_value=evidence,
            breached=breached,
            near=not breached and evidence > NEAR * threshold(alpha),
        ),
        f"{limit.metric} where {one.name} is {observed:.4f} ± {2 * error:.4f} over {counted(one.label_count, 'label')}, {expected:.4f} "
        f"for {against}: {'worse' if drop > 0 else 'better'} by {abs(drop):.4f}, "
        f"{'surely' if breached else 'not surely'} more than the {limit.max_drop:g} that is allowed"
        f"{'; ' + chance_words(evidence) if breached else ''}",
    )
