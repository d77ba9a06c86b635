"""Drift by feature as a page shows it: a bar on a logarithmic scale, with its limit. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.monitoring.findings import Finding

LOWEST, HIGHEST = 1e-3, 10.0


@dataclass(frozen=True)
class DriftRow:
    """One measure of one feature on one route; places are shares of the bar in percent, None where unknown."""

    finding: Finding
    at: float | None
    limit_at: float | None


def drift_rows(findings: Sequence[Finding]) -> list[DriftRow]:
    """Return every drift finding of a feature, the farthest over its limit first, those not judged last."""
    rows = [DriftRow(one, place(one.observed), place(one.limit)) for one in findings if _is_of_a_feature(one)]
    return sorted(rows, key=_order)


def place(value: float) -> float | None:
    """Return where a value is on the bar.

    Example:
        >>> place(0.1), place(100.0), place(0.0), place(math.nan)
        (50.0, 100.0, 0.0, None)
    """
    if math.isnan(value):
        return None
    share = math.log10(max(value, LOWEST) / LOWEST) / math.log10(HIGHEST / LOWEST)
    return round(100 * min(1.0, share), 1)


def _is_of_a_feature(one: Finding) -> bool:
    """Whether a finding is of one feature; a guardrail that could not be judged at all names all of its own at once."""
    is_of_all = one.unjudged is not None and (one.name == "features" or ", " in one.name)
    return one.kind == "drift" and not is_of_all


def _order(row: DriftRow) -> tuple[bool, bool, float, str]:
    one = row.finding
    ratio = one.observed / one.limit if one.limit else 0.0
    return (one.unjudged is not None, not one.breached, 0.0 if math.isnan(ratio) else -ratio, one.name)
