"""How sure it is that bad requests are too many: against another route, or against a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from penstock.monitoring.guardrails.blocks import Block, breakdown, table
from penstock.stats import evidence

BREAKDOWN_WEIGHT = 0.1
"""Share of the evidence that is bet on a breakdown: every request bad."""
Count = Callable[[Block], int]


class Bad(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests are bad: how many in a block, and in how many runs; `runs` None where not counted."""

    count: Count
    runs: Count | None = None

    def total(self, blocks: Sequence[Block]) -> int:
        """How many requests of all blocks are bad."""
        return sum(self.count(block) for block in blocks)


def evidence_against_rival(blocks: Sequence[Block], rival: Sequence[Block], bad: Bad, times: float) -> float:
    """Return the log evidence that a route has more than `times` the bad requests of its rival."""
    starts = sorted({block.start_s for block in blocks if block.request_count})
    if not starts:
        return 0.0
    ours, theirs = (table(each, starts, bad.count) for each in (blocks, rival))
    requests, others = (table(each, starts, lambda one: one.request_count) for each in (blocks, rival))
    usual_run = 1.0
    if bad.runs is None:
        found = evidence.rate_evidence_dispersed(ours, requests, theirs, others, times=times)
    else:
        our_runs, their_runs = (table(each, starts, bad.runs) for each in (blocks, rival))
        usual_run = float(theirs.sum() / their_runs.sum()) if their_runs.any() else 1.0
        found = evidence.rate_evidence(
            our_runs, requests - ours + our_runs, their_runs, others - theirs + their_runs, times=times
        )
    length, start = breakdown(blocks, bad.count, usual_run=usual_run)
    if not length:
        return found + math.log(1 - BREAKDOWN_WEIGHT)
    meanwhile = [block for block in rival if block.start_s >= start]
    other_count = sum(block.request_count for block in meanwhile)
    broken = evidence.complete_failure_evidence(length, bad.total(meanwhile), other_count)
    return evidence.weighed(found, broken, weight=BREAKDOWN_WEIGHT)


def evidence_against_limit(blocks: Sequence[Block], bad: Bad, limit: float, earlier: int = 0) -> float:
    """Return the log evidence that a route has, or came to have, more bad requests than a limit allows.

    Args:
        earlier: how many blocks came before the first that is given.
    """
    used = [block for block in blocks if block.request_count]
    starts = [block.start_s for block in used]
    if not starts:
        return 0.0
    ours = table(used, starts, bad.count)
    requests = table(used, starts, lambda one: one.request_count)
    if bad.runs is None:
        spread = evidence.limit_dispersion(ours, requests)
    else:
        run_count = table(used, starts, bad.runs).sum()
        length = float(ours.sum() / run_count) if run_count else 1.0
        spread = max(length, evidence.limit_dispersion(ours, requests, prior=1.0))
    found = evidence.limit_evidence(ours, requests, limit, spread=spread, earlier=earlier)
    length, _ = breakdown(used, bad.count)
    if not length:
        return found + math.log(1 - BREAKDOWN_WEIGHT)
    broken = -length * math.log(max(limit, 1e-6))
    if earlier:
        broken += float(evidence.change_weights(1, earlier)[0])
    return evidence.weighed(found, broken, weight=BREAKDOWN_WEIGHT)
