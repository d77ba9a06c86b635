"""The guardrail on how old what comes is: an endpoint that is silent, a column of times that lag behind."""

from __future__ import annotations

import math
from collections.abc import Iterator

from penstock.base.clock import format_ms
from penstock.base.numbers import counted
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.limits import FreshnessLimit
from penstock.monitoring.guardrails.measured import Measured, make_finding
from penstock.monitoring.profile import NumberColumn
from penstock.monitoring.windows import Window, WindowKey

SILENCE = "silence_s"


def name_of(limit: FreshnessLimit) -> str:
    """Return what a finding is about: the silence, or the age by a column."""
    return SILENCE if limit.column is None else f"{limit.column}_age_s"


def judge_silence(limit: FreshnessLimit, key: WindowKey, last_s: int | None) -> Iterator[Finding]:
    """Judge how long no request came; no finding where none ever did.

    Args:
        key: of the route, at the moment of the look.
        last_s: when its newest window with traffic ended.
    """
    if last_s is None or limit.max_silence_s is None:
        return
    silence_s = max(0.0, float(key.start_s - last_s))
    breached = silence_s > limit.max_silence_s
    yield _finding(
        limit,
        Window(key=key, window_s=0),
        (silence_s, limit.max_silence_s, 0),
        breached,
        f"no request came for {_span(silence_s)}, since {format_ms(1000 * last_s)}; {_span(limit.max_silence_s)} may pass",
    )


def judge_age(limit: FreshnessLimit, window: Window) -> Iterator[Finding]:
    """Judge how old the rows of a window are by a column of times; no finding while too few have one."""
    column = window.features.column(limit.column or "")
    if limit.max_age_s is None or not isinstance(column, NumberColumn) or column.count < limit.min_rows:
        return
    per_second = 1000.0 if limit.unit == "ms" else 1.0
    middle, oldest = (float(one) / per_second for one in column.sketch.quantiles([0.5, 0.01]))
    age_s = window.end_s - middle
    breached = age_s > limit.max_age_s
    yield _finding(
        limit,
        window,
        (age_s, limit.max_age_s, column.count),
        breached,
        f"half of {counted(column.count, 'row')} are older than {_span(age_s)} by {limit.column} (99 of 100 younger than "
        f"{_span(window.end_s - oldest)}); {_span(limit.max_age_s)} may be",
    )


def lacking(limit: FreshnessLimit, window: Window | None) -> tuple[int, str]:
    """Return how many rows have a time, and what keeps their age from being judged."""
    column = window.features.column(limit.column or "") if window is not None else None
    if column is not None and not isinstance(column, NumberColumn):
        return column.count, f"{limit.column} has texts: send it as a number of {limit.unit} since 1970"
    count = column.count if column is not None else 0
    return count, f"{count:,} of {limit.min_rows:,} rows with {limit.column} yet"


def _finding(
    limit: FreshnessLimit, window: Window, told: tuple[float, float, int], breached: bool, sentence: str
) -> Finding:
    observed, most, count = told
    return make_finding(
        "freshness",
        window,
        Measured(
            name=name_of(limit),
            observed=observed,
            limit=most,
            count=count,
            statistic="seconds",
            statistic_value=observed,
            breached=breached,
        ),
        sentence,
    )


def _span(seconds: float) -> str:
    if not math.isfinite(seconds) or abs(seconds) < 120:
        return f"{seconds:.0f} s"
    if abs(seconds) < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if abs(seconds) < 172_800 else f"{seconds / 86_400:.1f} days"
