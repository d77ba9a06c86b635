"""The guardrail on the columns of live traffic against a reference profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from penstock.monitoring.drift import FeatureDrift, compare
from penstock.monitoring.findings import Finding
from penstock.monitoring.guardrails.measured import Measured, make_finding
from penstock.monitoring.profile import Profile
from penstock.monitoring.settings import DriftLimit
from penstock.monitoring.windows import Window


def judge_drift(
    limit: DriftLimit, window: Window, profile: Profile, compared: Sequence[FeatureDrift] | None = None
) -> Iterator[Finding]:
    """Judge every covered feature: a finding for each that drifted or nearly so, else for the nearest to its limit.

    Args:
        compared: the window's features compared with the profile, where that was done already.
    """
    if window.features.row_count < limit.min_rows:
        return
    every = compare(profile, window.features) if compared is None else compared
    covered = [one for one in every if limit.covers(one.feature)]
    covered.sort(key=lambda one: (-_excess(one, limit), one.feature))
    told = [one for one in covered if _has_drifted(one, limit) or _is_near(one, limit)]
    for one in told or covered[:1]:
        yield _finding(one, limit, window)


def _finding(one: FeatureDrift, limit: DriftLimit, window: Window) -> Finding:
    is_over = _has_drifted(one, limit)
    of_psi, of_ks = _shares(one, limit)
    by_distance = not _psi_is_over(one, limit) if is_over else of_ks > of_psi
    observed = one.ks if by_distance and one.ks is not None else one.psi
    most = limit.ks_max if by_distance else limit.psi_max
    noise = one.ks_noise if by_distance else one.noise
    measure = "Kolmogorov-Smirnov distance" if by_distance else "PSI"
    words = "is over" if is_over else "is not surely over"
    return make_finding(
        "drift",
        window,
        Measured(
            name=one.feature,
            observed=observed,
            limit=most,
            count=one.n_current,
            statistic="ks" if by_distance else "psi",
            statistic_value=observed,
            breached=is_over,
            near=_is_near(one, limit),
        ),
        f"{measure} of {one.feature} is {observed:.3f} over {one.n_current} rows{_aside(one)}; it {words} "
        f"the limit of {most:g} (without drift: up to {noise:.3f})",
    )


def _aside(one: FeatureDrift) -> str:
    told = []
    if abs(one.missing_ratio_current - one.missing_ratio_reference) > 0.01:
        told.append(
            f"missing {one.missing_ratio_reference:.1%} before and {one.missing_ratio_current:.1%} now"
        )
    if one.unseen_ratio is not None and one.unseen_ratio > 0.01:
        told.append(f"{one.unseen_ratio:.1%} never seen in the reference")
    return "".join(f", {text}" for text in told)


def _has_drifted(one: FeatureDrift, limit: DriftLimit) -> bool:
    return _psi_is_over(one, limit) or _ks_is_over(one, limit)


def _psi_is_over(one: FeatureDrift, limit: DriftLimit) -> bool:
    return one.psi > limit.psi_max and one.psi > one.noise


def _ks_is_over(one: FeatureDrift, limit: DriftLimit) -> bool:
    return one.ks is not None and one.ks > limit.ks_max and one.ks > one.ks_noise


def _is_near(one: FeatureDrift, limit: DriftLimit) -> bool:
    """Whether a feature has not drifted, and is not far enough below its limits to say that it is well again."""
    return not _has_drifted(one, limit) and max(_shares(one, limit)) >= limit.resolve_below


def _shares(one: FeatureDrift, limit: DriftLimit) -> tuple[float, float]:
    """Return index and distance as shares of their limits; a limit of 0 is what is without drift."""
    return one.psi / (limit.psi_max or one.noise or 1.0), (one.ks or 0.0) / (
        limit.ks_max or one.ks_noise or 1.0
    )


def _excess(one: FeatureDrift, limit: DriftLimit) -> float:
    """Return how far a feature is over what it may be, as a ratio; the larger of both measures."""
    of_psi = one.psi / max(limit.psi_max, one.noise, 1e-9)
    return max(of_psi, (one.ks or 0.0) / max(limit.ks_max, one.ks_noise, 1e-9))
