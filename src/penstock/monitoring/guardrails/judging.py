"""Guardrails: limits on windows, judged with the certainty that the counts allow.

A pure function of windows and limits. A breach needs two things: the value is over its limit, and chance
does not explain it. Every guardrail that had something to judge gives a finding, breached or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.drift import judge_drift
from penstock.monitoring.guardrails.errors import judge_errors
from penstock.monitoring.guardrails.latency import judge_latency
from penstock.monitoring.guardrails.measured import ALPHA, Reference
from penstock.monitoring.guardrails.quality import judge_against_offline, judge_against_rival
from penstock.monitoring.settings import GuardrailEntry
from penstock.monitoring.windows import Window
from penstock.stats.evidence import split


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
    alpha = split(ALPHA, len(guardrails))
    for entry in guardrails:
        for window in (stable, canary):
            if window is not None:
                rival = stable if window is canary else None
                found += (_with_action(one, entry) for one in _judge(entry, window, rival, reference, alpha))
    return found


def _with_action(finding: Finding, entry: GuardrailEntry) -> Finding:
    return msgspec.structs.replace(finding, action=entry.own_action)


def _judge(
    entry: GuardrailEntry, window: Window, rival: Window | None, reference: Reference | None, alpha: float
) -> Iterator[Finding]:
    beside = None if rival is None else [Block.of(rival)]
    if entry.errors is not None:
        yield from judge_errors(entry.errors, window, rival=beside, alpha=alpha)
    if entry.latency is not None:
        yield from judge_latency(entry.latency, window, rival=beside, alpha=alpha)
    if entry.drift is not None and reference is not None and reference.profile is not None:
        yield from judge_drift(entry.drift, window, reference.profile)
    if entry.quality is not None:
        if rival is not None:
            if entry.quality.against != "offline":
                yield from judge_against_rival(entry.quality, window, rival, alpha=alpha)
        elif window.key.route == "stable" and reference is not None and entry.quality.against != "stable":
            yield from judge_against_offline(entry.quality, window, reference, alpha=alpha)
