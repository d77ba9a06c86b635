"""The guardrail on the columns of live traffic against a reference profile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from penstock.base.numbers import counted
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
    covered.sort(key=lambda one: (-excess_of(one, limit), one.feature))
    told = [one for one in covered if _has_drifted(one, limit) or _is_near(one, limit)]
    for one in told or covered[:1]:
        yield _finding(one, limit, window)


class _Measure(NamedTuple):
    """One measure of a feature against its limit."""

    statistic: str
    words: str
    observed: float
    limit: float
    noise: float
    error: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is surely over."""
        return self.surely > self.limit and self.surely > self.noise

    @property
    def share(self) -> float:
        """What it is of its limit; a limit of 0 is what is without drift."""
        return self.observed / (self.limit or self.noise or 1.0)

    @property
    def excess(self) -> float:
        """How far it is over what it may be, as a ratio."""
        return max(0.0, self.surely) / max(self.limit, self.noise, 1e-9)

    @property
    def surely(self) -> float:
        """What it is at least: sketches may have it off by `error`."""
        return self.observed - self.error


def _measures(one: FeatureDrift, limit: DriftLimit) -> list[_Measure]:
    """Return the measures that are limited, those first that are asked first."""
    found = [_Measure("psi", "PSI", one.psi, limit.psi_max, one.noise)]
    if one.ks is not None:
        found.append(
            _Measure("ks", "Kolmogorov-Smirnov distance", one.ks, limit.ks_max, one.ks_noise, one.ks_error)
        )
    for name, words, observed, most, noise in (
        ("wasserstein", "Wasserstein distance", one.wasserstein, limit.wasserstein_max, one.wasserstein_noise),
        ("js", "Jensen-Shannon distance", one.jensen_shannon, limit.jensen_shannon_max, one.jensen_shannon_noise),
        ("chi_square", "Chi-square effect", one.chi_square, limit.chi_square_max, one.chi_square_noise),
    ):  # fmt: skip
        if most is not None and observed is not None:
            found.append(_Measure(name, words, observed, most, noise))
    return found


def _finding(one: FeatureDrift, limit: DriftLimit, window: Window) -> Finding:
    measures = _measures(one, limit)
    is_over = any(measure.is_over for measure in measures)
    told = next((measure for measure in measures if measure.is_over), None) or max(
        measures, key=lambda measure: measure.share
    )
    words = "is over" if is_over else "is not surely over"
    off = f" ± {told.error:g}" if told.error else ""
    return make_finding(
        "drift",
        window,
        Measured(
            name=one.feature,
            observed=told.observed,
            limit=told.limit,
            count=one.n_current,
            statistic=told.statistic,
            statistic_value=told.observed,
            breached=is_over,
            near=_is_near(one, limit),
        ),
        f"{told.words} of {one.feature} is {told.observed:.3f}{off} over {counted(one.n_current, 'row')}{_aside(one)}; it {words} "
        f"the limit of {told.limit:g} (without drift: up to {told.noise:.3f})",
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
    return any(measure.is_over for measure in _measures(one, limit))


def _is_near(one: FeatureDrift, limit: DriftLimit) -> bool:
    """Whether a feature has not drifted, and is not far enough below its limits to say that it is well again."""
    shares = (measure.share for measure in _measures(one, limit))
    return not _has_drifted(one, limit) and max(shares) >= limit.resolve_below


def is_over_limit(one: FeatureDrift, limit: DriftLimit) -> bool:
    """Whether a measure is over its limit, be it by chance."""
    return any(measure.observed > measure.limit for measure in _measures(one, limit))


def excess_of(one: FeatureDrift, limit: DriftLimit) -> float:
    """Return how far a feature is over what it may be, as a ratio; the largest of its measures."""
    return max(measure.excess for measure in _measures(one, limit))
