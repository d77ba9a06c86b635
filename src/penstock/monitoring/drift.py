"""Drift: how far the columns of one profile are from those of a reference.

Effect sizes, not p-values: at a million rows every difference is significant and none of them matters.
Beside each stands what it would be without drift at these row counts: by chance, and where the reference
has an order, by the reference's own variation over its rows.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.monitoring.bins import EXACT_MAX, NumberBins
from penstock.monitoring.profile import NumberColumn, Profile, TextColumn
from penstock.monitoring.stability import Stabilities
from penstock.stats.distances import (
    chi_square_effect,
    chi_square_noise,
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_noise,
    shannon_noise,
    wasserstein,
    wasserstein_noise,
)

Floats = npt.NDArray[np.float64]
SKETCH_ERROR = 0.01
"""What two sketches may add to a Kolmogorov-Smirnov distance; measured: at most 0.007."""

SKETCH_MOVE_ERROR = 0.04
"""What two sketches may add to a Wasserstein distance, in standard deviations; measured: at most 0.032."""
CURVE = [step / 400 for step in range(1, 400)]
"""Ranks at whose values distribution functions are compared."""


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column is from its reference.

    `psi` is the population stability index over the reference's bins and one for missing values, less what
    it is on average without drift; `noise` is what it hardly exceeds without. `ks` is the
    Kolmogorov-Smirnov distance of the present numbers, None for texts, `ks_error` by how much the sketches may have it
    off, and `ks_noise` what it hardly exceeds beside that. `wasserstein` is the Wasserstein distance of the present numbers in standard
    deviations of the reference, None for texts and for a constant; `jensen_shannon` the distance in [0, 1] and
    `chi_square` Cohen's w, both over the bins of `psi`; each with the noise that it hardly exceeds. `unseen_ratio` is the share of texts that the reference never had.
    """

    feature: str
    psi: float
    noise: float
    ks: float | None
    ks_error: float = 0.0
    n_reference: int
    n_current: int
    missing_ratio_reference: float
    missing_ratio_current: float
    ks_noise: float = 0.0
    unseen_ratio: float | None = None
    wasserstein: float | None = None
    wasserstein_noise: float = 0.0
    jensen_shannon: float = 0.0
    jensen_shannon_noise: float = 0.0
    chi_square: float = 0.0
    chi_square_noise: float = 0.0


def compare(reference: Profile, current: Profile) -> list[FeatureDrift]:
    """Compare every column of the reference with the current profile, most drifted first.

    A column that the current rows never had counts as missing in all of them. With no rows on one side
    there is no drift to tell of: an empty list.
    """
    if not reference.row_count or not current.row_count:
        return []
    stabilities = Stabilities(reference)
    found = [_compare_column(name, reference, current, stabilities) for name in reference.column_names]
    return sorted(found, key=lambda one: (-max(one.psi, one.ks or 0.0), one.feature))


def _compare_column(
    name: str, reference: Profile, current: Profile, stabilities: Stabilities
) -> FeatureDrift:
    before, now, bins = stabilities.column(name), current.column(name), stabilities.bins(name)
    index = stabilities.of(name, current)
    n, m, used = reference.row_count, current.row_count, len(index.before)
    ks = _ks(bins, before, now) if isinstance(bins, NumberBins) else None
    ks_noise = ks_by_rows = kolmogorov_smirnov_noise(before.count, index.present) if ks is not None else 0.0
    if index.varied is not None:
        ks_noise = max(ks_noise, index.varied.ks)
    moved = _moved(before, now)
    return FeatureDrift(
        feature=name,
        psi=index.psi,
        noise=index.noise,
        ks=None if ks is None else ks[0],
        ks_error=0.0 if ks is None else ks[1],
        n_reference=n,
        n_current=m,
        missing_ratio_reference=index.missing[0] / n,
        missing_ratio_current=index.missing[1] / m,
        ks_noise=ks_noise,
        unseen_ratio=index.unseen_ratio,
        wasserstein=None if moved is None else moved[0],
        wasserstein_noise=0.0 if moved is None else moved[1] * max(1.0, ks_noise / (ks_by_rows or 1.0)),
        jensen_shannon=jensen_shannon(index.before, index.now),
        # what comes in bunches varies more than its rows say, in each measure as in the index and the distance
        jensen_shannon_noise=index.bunched * shannon_noise(used, n, m),
        chi_square=chi_square_effect(index.before, index.now),
        chi_square_noise=index.bunched * chi_square_noise(used, n, m),
    )


def _ks(bins: NumberBins, before: object, now: object) -> tuple[float, float] | None:
    """Return the largest gap at the reference's quantiles, from the left and from the right, and by how much it may be off."""
    if not isinstance(before, NumberColumn) or not isinstance(now, NumberColumn):
        return None
    if not before.count or not now.count:
        return None
    gaps = [
        kolmogorov_smirnov(
            before.sketch.cdf(bins.curve, inclusive=inclusive),
            now.sketch.cdf(bins.curve, inclusive=inclusive),
        )
        for inclusive in (True, False)
    ]
    is_exact = before.count <= EXACT_MAX and now.count <= EXACT_MAX
    return max(gaps), 0.0 if is_exact else SKETCH_ERROR


def _moved(before: object, now: object) -> tuple[float, float] | None:
    """Return the Wasserstein distance and its noise, in standard deviations of the reference."""
    if not isinstance(before, NumberColumn) or not isinstance(now, NumberColumn):
        return None
    if not before.count or not now.count or not before.deviation > 0:
        return None
    ends = np.array([before.low, before.high, now.low, now.high])
    points = np.union1d(np.union1d(before.sketch.quantiles(CURVE), now.sketch.quantiles(CURVE)), ends)
    cdf = before.sketch.cdf(points)
    distance = wasserstein(points, cdf, now.sketch.cdf(points))
    noise = wasserstein_noise(points, cdf, before.deviation, (before.count, now.count))
    return distance / before.deviation, noise / before.deviation + SKETCH_MOVE_ERROR


def unseen_ratios(before: TextColumn, now: TextColumn) -> tuple[float, float, int] | None:
    """Return the share of present texts that a reference never had, what was to be expected, and of how many texts it is
    known; None where the texts are not known well enough."""
    known, seen = before.sketch.hashed, now.sketch.hashed
    if known is None or seen is None:
        return None
    unseen, looked = seen.unseen_in(known)
    return (unseen / looked, known.new_ratio, looked) if looked and known.sample else None
