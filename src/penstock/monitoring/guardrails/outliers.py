"""The guardrail on the share of rows that are far from all that the reference has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from penstock.base.numbers import counted
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.blocks import Block
from penstock.monitoring.guardrails.limits import OutlierLimit
from penstock.monitoring.guardrails.measured import ALPHA, NEAR, Measured, make_finding
from penstock.monitoring.windows import Window
from penstock.stats.confidence import wilson_interval
from penstock.stats.evidence import chance_words, limit_dispersion, limit_evidence, threshold

NAME = "outlier_ratio"


def judge_outliers(
    limit: OutlierLimit,
    window: Window,
    blocks: Sequence[Block] = (),
    *,
    alpha: float = ALPHA,
    earlier: int = 0,
) -> Iterator[Finding]:
    """Judge the share of outliers against its limit; no finding while too few rows were scored.

    May be asked after every request. Outliers come in runs and with requests of many rows: blocks that differ by more
    than chance divide the evidence.

    Args:
        blocks: the route's traffic since the revision began, oldest first; without them `window` is one.
        earlier: how many blocks there were before the first of `blocks`.
    """
    ours = [one for one in blocks or (Block.of(window),) if one.scored_row_count]
    count = sum(one.scored_row_count for one in ours)
    if count < limit.min_rows:
        return
    hits = np.array([one.outlier_row_count for one in ours], dtype=np.float64)
    rows = np.array([one.scored_row_count for one in ours], dtype=np.float64)
    runs = sum(one.outlier_run_count for one in ours)
    bad = int(hits.sum())
    spread = limit_dispersion(hits, rows, prior=bad / runs if runs else 1.0)
    found = limit_evidence(hits, rows, limit.max_ratio, spread=spread, earlier=earlier)
    breached = found >= threshold(alpha)
    # rows that hang together tell as much as fewer that do not
    low, high = wilson_interval(bad / spread, count / spread)
    yield make_finding(
        "outliers",
        window,
        Measured(
            name=NAME,
            observed=bad / count,
            limit=limit.max_ratio,
            count=count,
            statistic="log_evidence",
            statistic_value=found if math.isfinite(found) else threshold(1e-12),
            breached=breached,
            near=not breached and found > NEAR * threshold(alpha),
        ),
        f"{bad} of {counted(count, 'row')} are outliers: {bad / count:.2%} (between {low:.2%} and {high:.2%}), {limit.max_ratio:.2%} "
        f"may be: {'surely more; ' + chance_words(found) if breached else 'not surely more'}",
    )
