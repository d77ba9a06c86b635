"""How sure it is that bad requests are too many: against another route, or against a limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from penstock.base.numbers import counted
from penstock.monitoring.guardrails.blocks import Block, Floats, Stretch, breakdown, table
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

    def doubt(self, blocks: Sequence[Block]) -> str:
        """Say that they are not surely too many; those in a row may be one caller's or one burst, and count as one."""
        count = self.total(blocks)
        runs = count if self.runs is None else sum(self.runs(block) for block in blocks)
        in_a_row = (
            f" (they came in {counted(runs, 'run')}, and those in a row count as one)"
            if 0 < runs < count
            else ""
        )
        return f"not surely too many{in_a_row}"


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
        trials = _trials((requests, ours - our_runs), (others, theirs - their_runs))
        found = evidence.rate_evidence(our_runs, trials[0], their_runs, trials[1], times=times)
    stretch = breakdown(blocks, bad.count, usual_run=usual_run)
    if stretch is None:
        return found + math.log(1 - BREAKDOWN_WEIGHT)
    meanwhile = [block for block in rival if block.start_s >= stretch.start_s]
    broken = _broken(stretch, bad.total(meanwhile), sum(block.request_count for block in meanwhile), times)
    return evidence.weighed(found, broken, weight=BREAKDOWN_WEIGHT)


def _trials(ours: tuple[Floats, Floats], theirs: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Return in how many requests a run could begin, in each block, from requests and continued failures.

    Where only the canary fails, few are left because it fails: then it is all its requests. Where both fail,
    all requests would blame the route with less traffic: then it is what is left.
    """
    left, others_left = (requests - continued for requests, continued in (ours, theirs))
    is_shared = left * theirs[0] > others_left * ours[0]
    return np.where(is_shared, left, ours[0]), np.where(is_shared, others_left, theirs[0])


def _broken(stretch: Stretch, other_bad: int, other_count: int, times: float) -> float:
    """Return the log evidence of a stretch that is nearly all bad, its requests being taken one by one."""
    if stretch.bad_count == stretch.request_count:
        return evidence.complete_failure_evidence(stretch.request_count, other_bad, other_count)
    counts = (stretch.bad_count, stretch.request_count, other_bad, other_count)
    return evidence.rate_evidence(*(np.array([float(one)]) for one in counts), times=times)


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
    stretch = breakdown(used, bad.count)
    if stretch is None:
        return found + math.log(1 - BREAKDOWN_WEIGHT)
    if stretch.bad_count == stretch.request_count:
        broken = -stretch.request_count * math.log(max(limit, 1e-6))
    else:
        counts = (np.array([float(stretch.bad_count)]), np.array([float(stretch.request_count)]))
        broken = evidence.limit_evidence(*counts, limit)
    if earlier:
        broken += float(evidence.change_weights(1, earlier)[0])
    return evidence.weighed(found, broken, weight=BREAKDOWN_WEIGHT)
