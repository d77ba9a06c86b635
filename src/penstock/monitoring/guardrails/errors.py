"""The guardrail on failed requests."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.measured import MIN_REQUESTS, Measured, make_finding
from penstock.monitoring.settings import ErrorsLimit
from penstock.monitoring.windows import Window
from penstock.stats.detectors import ratio_lower_bound


def judge_errors(limit: ErrorsLimit, window: Window) -> Iterator[Finding]:
    if window.request_count < MIN_REQUESTS:
        return
    bound = ratio_lower_bound(window.error_count, window.request_count)
    yield make_finding(
        "errors",
        window,
        Measured(
            name="error_ratio",
            observed=window.error_ratio,
            limit=limit.max_ratio,
            count=window.request_count,
            statistic="lower_bound",
            statistic_value=bound,
            breached=bound > limit.max_ratio,
        ),
        f"{window.error_count} of {window.request_count} requests failed "
        f"({window.error_ratio:.2%}, surely above {bound:.2%}); the limit is {limit.max_ratio:.2%}",
    )
