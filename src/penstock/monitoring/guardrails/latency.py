"""The guardrail on a latency quantile.

That a quantile of rank r is above a limit means that more than 1 - r of the requests are slower than it; so
it is the counts of slower requests that are tested, exact whatever the distribution. They come in bursts,
stalls of whatever the model waits for: it is runs of them that are counted.

Source: Howard, Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
identification", Bernoulli 28, 2022 (the reduction, and looking at every moment); Lindon, Sanden, Shirikian,
"Rapid regression detection in software deployments through sequential testing", 2022, arXiv 2205.14762.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

from penstock.base.numbers import counted
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.comparing import Bad, evidence_against_limit, evidence_against_rival
from penstock.monitoring.guardrails.limits import LatencyLimit
from penstock.monitoring.guardrails.measured import ALPHA, MIN_REQUESTS, NEAR, Measured, make_finding
from penstock.monitoring.latency import LatencyHistogram
from penstock.monitoring.windows import Window
from penstock.stats.evidence import chance_words, threshold


def judge_latency(
    limit: LatencyLimit,
    window: Window,
    blocks: Sequence[Block] = (),
    rival: Sequence[Block] | None = None,
    *,
    alpha: float = ALPHA,
    earlier: int = 0,
) -> Iterator[Finding]:
    """Judge the share of slow requests of a route: more than the limit allows, and more than on stable.

    A canary that is too slow while the stable version is as slow is not to blame; `against: limit` blames
    it, `against: stable` asks for the difference only. Arguments and promise as of `judge_errors`.
    """
    ours = blocks or (Block.of(window),)
    latency = reduce(LatencyHistogram.merge, (block.latency for block in ours))
    count, slow = latency.count, latency.count_above(limit.limit_s)
    timed, timed_rival = [_timed(one) for one in ours], [_timed(one) for one in rival or ()]
    is_ordered = all(one.latency.rises is not None for one in (*timed, *timed_rival))
    bad = Bad(
        count=lambda one: one.latency.count_above(limit.limit_s),
        runs=(lambda one: one.latency.runs_above(limit.limit_s) or 0) if is_ordered else None,
    )
    others = sum(block.request_count for block in timed_rival)
    found = evidence_against_limit(timed, bad, 1 - limit.rank, earlier)
    if others and limit.against != "limit":
        compared = evidence_against_rival(timed, timed_rival, bad, 1.0)
        found = compared if limit.against == "stable" else min(found, compared)
    breached = count > 0 and found >= threshold(alpha)
    if count < MIN_REQUESTS and not breached:
        return
    observed = latency.quantile_s(limit.rank)
    name = f"p{limit.rank * 100:.0f}"
    beside = f" ({bad.total(timed_rival)} of {others} on the stable version)" if others else ""
    yield make_finding(
        "latency",
        window,
        Measured(
            name=name,
            observed=observed,
            limit=limit.limit_s,
            count=count,
            statistic="log_evidence",
            statistic_value=found,
            breached=breached,
            near=not breached and found > NEAR * threshold(alpha),
        ),
        f"{name} latency is {observed * 1000:.1f} ms over {counted(count, 'request')}, {slow} of them slower "
        f"than the limit of {limit.limit_s * 1000:g} ms{beside}: "
        f"{'too many; ' + chance_words(found) if breached else bad.doubt(timed)}",
    )


def _timed(block: Block) -> Block:
    """Return a block of only the requests whose duration is known."""
    return Block(start_s=block.start_s, request_count=block.latency.count, latency=block.latency)
