"""The guardrail on the columns of live traffic against a reference profile."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.monitoring.drift import FeatureDrift, compare
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.measured import Measured, make_finding
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import DriftLimit
from penstock.monitoring.windows import Window


def judge_drift(limit: DriftLimit, window: Window, profile: Profile) -> Iterator[Finding]:
    if window.features.row_count < limit.min_rows:
        return
    covered = [one for one in compare(profile, window.features) if limit.covers(one.feature)]
    over = [one for one in covered if _has_drifted(one, limit)]
    for one in over or covered[:1]:
        is_over = _has_drifted(one, limit)
        missing = (
            f", missing {one.missing_ratio_reference:.1%} before and {one.missing_ratio_current:.1%} now"
            if abs(one.missing_ratio_current - one.missing_ratio_reference) > 0.01
            else ""
        )
        words = "is over" if is_over else "of all watched features the largest, is surely not over"
        yield make_finding(
            "drift",
            window,
            Measured(
                name=one.feature,
                observed=one.psi,
                limit=limit.psi_max,
                count=one.n_current,
                statistic="psi",
                statistic_value=one.psi,
                breached=is_over,
            ),
            f"PSI of {one.feature} is {one.psi:.3f} over {one.n_current} rows{missing}; it {words} "
            f"the limit of {limit.psi_max:g} (chance alone: up to {one.noise:.3f})",
        )


def _has_drifted(one: FeatureDrift, limit: DriftLimit) -> bool:
    return one.psi > limit.psi_max and one.psi > one.noise
