"""The guardrail on a latency quantile."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.measured import MIN_REQUESTS, Measured, make_finding
from penstock.monitoring.settings import LatencyLimit
from penstock.monitoring.windows import Window
from penstock.stats.detectors import ratio_lower_bound


def judge_latency(limit: LatencyLimit, window: Window) -> Iterator[Finding]:
    """Judge by the count of requests that were surely slower: exact, whatever the distribution."""
    count = window.latency.count
    if count < MIN_REQUESTS:
        return
    observed = window.quantile_s(limit.rank)
    slow = window.latency.count_above(limit.limit_s)
    bound = ratio_lower_bound(slow, count)
    name = f"p{limit.rank * 100:.0f}"
    yield make_finding(
        "latency",
        window,
        Measured(
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
