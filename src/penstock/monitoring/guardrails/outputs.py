"""The guard on answers that are useless: no finite numbers, no probabilities, no class of the model. It stands on every route, whatever the policy guards.

A model that answers NaN or an infinity, or a text for a number, is broken, though no request fails. One such answer among good ones is
an odd input; what is acted on is a run of them from the beginning, or more of them than are borne.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.base.numbers import counted
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.comparing import Bad, evidence_against_limit, evidence_against_rival
from penstock.monitoring.guardrails.measured import NEAR, Measured, make_finding
from penstock.monitoring.windows import Window
from penstock.stats.evidence import chance_words, threshold

ALPHA = 0.0001
"""Chance that the guard is wrong about a rollout; so small that the other guardrails keep theirs."""
USELESS = "NaN, infinite, beyond 1e75, missing, a text for a number, a probability outside 0 to 1 or no class of the model"
BAD = Bad(count=lambda one: one.nonfinite_count, runs=lambda one: one.nonfinite_run_count)


def judge_outputs(
    max_ratio: float,
    window: Window,
    blocks: Sequence[Block] = (),
    rival: Sequence[Block] | None = None,
    *,
    earlier: int = 0,
) -> Iterator[Finding]:
    """Judge the answers of a route that are useless; no finding where there are none.

    Three of three are enough. A canary is compared with the stable version where that has such answers too:
    what both share is not the canary's fault. May be asked after every request.

    Args:
        max_ratio: share of requests that may be answered so; 1 or more judges nothing.
        window: the recent traffic of the route; the finding names it.
        blocks: the route's traffic since the revision began, oldest first; without them `window` is one.
        rival: the stable route's in the same time, when a canary is judged.
        earlier: how many blocks there were before the first of `blocks`.
    """
    ours = blocks or (Block.of(window),)
    bad, count = BAD.total(ours), sum(block.request_count for block in ours)
    if max_ratio >= 1 or not (bad or window.nonfinite_row_count):
        return
    found = evidence_against_limit(ours, BAD, max_ratio, earlier)
    other_bad, others = BAD.total(rival or ()), sum(block.request_count for block in rival or ())
    beside = ""
    if other_bad:
        found = min(found, evidence_against_rival(ours, rival or (), BAD, 1.0))
        beside = f" ({other_bad} of {others} on the stable version)"
    breached = found >= threshold(ALPHA)
    yield make_finding(
        "outputs",
        window,
        Measured(
            name="nonfinite_ratio",
            observed=bad / max(1, count),
            limit=max_ratio,
            against=other_bad / others if other_bad else None,
            count=count,
            statistic="log_evidence",
            statistic_value=found,
            breached=breached,
            near=not breached and found > NEAR * threshold(ALPHA),
        ),
        f"{bad} of {counted(count, 'answer')} are useless ({USELESS}; {counted(window.nonfinite_row_count, 'row')} "
        f"lately){beside}, {max_ratio:.2%} are borne: "
        f"{'too many; ' + chance_words(found) if breached else BAD.doubt(ours)}",
    )
