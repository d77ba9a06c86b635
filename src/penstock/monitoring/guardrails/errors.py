"""The guardrail on failed requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.base.numbers import counted
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block, knows_runs
from penstock.monitoring.guardrails.comparing import Bad, evidence_against_limit, evidence_against_rival
from penstock.monitoring.guardrails.measured import ALPHA, MIN_REQUESTS, NEAR, Measured, make_finding
from penstock.monitoring.settings import ErrorsLimit
from penstock.monitoring.windows import Window
from penstock.stats.evidence import chance_words, threshold


def judge_errors(
    limit: ErrorsLimit,
    window: Window,
    blocks: Sequence[Block] = (),
    rival: Sequence[Block] | None = None,
    *,
    alpha: float = ALPHA,
    earlier: int = 0,
) -> Iterator[Finding]:
    """Judge the failures of a route against those of the stable route, or against the limit.

    May be asked after every request: chance alone breaches with at most `alpha` over the life of a
    revision. No finding while there are fewer than `MIN_REQUESTS` requests and no breach.

    Args:
        window: the recent traffic of the route; the finding names it.
        blocks: the route's traffic since the revision began, oldest first; without them `window` is one.
        rival: the stable route's in the same time, when a canary is judged.
        earlier: how many blocks there were before the first of `blocks`.
    """
    ours = blocks or (Block.of(window),)
    count = sum(block.request_count for block in ours)
    failed = sum(block.error_count for block in ours)
    others = sum(block.request_count for block in rival or ())
    is_compared = rival is not None and others > 0 and limit.against != "limit"
    runs = (lambda one: one.error_run_count or 0) if knows_runs([*ours, *(rival or ())]) else None
    bad = Bad(count=lambda one: one.error_count, runs=runs)
    against = bad.total(rival or ()) / others if is_compared else None
    if is_compared:
        found = evidence_against_rival(ours, rival or (), bad, limit.max_times)
    else:
        found = evidence_against_limit(ours, bad, limit.max_ratio, earlier)
    breached = count > 0 and found >= threshold(alpha)
    if count < MIN_REQUESTS and not breached:
        return
    observed = failed / count
    compared = (
        f"{bad.total(rival or ())} of {others} ({against:.2%}) on the stable version"
        if against is not None
        else f"the limit is {limit.max_ratio:.2%}"
    )
    yield make_finding(
        "errors",
        window,
        Measured(
            name="error_ratio",
            observed=observed,
            limit=limit.max_ratio,
            against=against,
            count=count,
            statistic="log_evidence",
            statistic_value=found,
            breached=breached,
            near=not breached and found > NEAR * threshold(alpha),
        ),
        f"{failed} of {counted(count, 'request')} failed ({observed:.2%}), {compared}: "
        f"{'too many; ' + chance_words(found) if breached else bad.doubt(ours)}",
    )
