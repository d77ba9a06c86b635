"""Drift: how far the columns of one profile are from those of a reference.

Effect sizes, not p-values: at a million rows every difference is significant and none of them matters.
Beside each stands what it would be without drift at these row counts: by chance, and where the reference
has an order, by the reference's own variation over its rows.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.monitoring.bins import NumberBins, bins_of
from penstock.monitoring.profile import NumberColumn, Profile, TextColumn
from penstock.monitoring.variation import noise_of
from penstock.stats.distances import (
    chi_square_effect,
    chi_square_noise,
    jensen_shannon,
    kolmogorov_smirnov,
    kolmogorov_smirnov_noise,
    population_stability_of,
    shannon_noise,
    stability_noise,
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

SKETCH_INDEX_ERROR = 0.003
"""What two sketches may add to a stability index where no bin is nearly empty; measured: at most 0.0028."""


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column is from its reference.

    `psi` is the population stability index over the reference's bins and one for missing values, less what
    it is on average without drift; `noise` is what it hardly exceeds without. `ks` is the
    Kolmogorov-Smirnov distance of the present numbers less the sketches' error, None for texts, and
    `ks_noise` what it hardly exceeds. `wasserstein` is the Wasserstein distance of the present numbers in standard
    deviations of the reference, None for texts and for a constant; `jensen_shannon` the distance in [0, 1] and
    `chi_square` Cohen's w, both over the bins of `psi`; each with the noise that it hardly exceeds. `unseen_ratio` is the share of texts that the reference never had.
    """

    feature: str
    psi: float
    noise: float
    ks: float | None
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
    found = [_compare_column(name, reference, current) for name in reference.column_names]
    return sorted(found, key=lambda one: (-max(one.psi, one.ks or 0.0), one.feature))


def _compare_column(name: str, reference: Profile, current: Profile) -> FeatureDrift:
    before, now = reference.column(name) or TextColumn(), current.column(name)
    bins = bins_of(before)
    present = now.count if type(now) is type(before) and now is not None else 0
    missing_before = max(0, reference.row_count - before.count)
    missing_now = max(0, current.row_count - present)
    bins_before = np.append(bins.counts(before), missing_before)
    bins_now = np.append(bins.counts(now), missing_now)
    used = (bins_before > 0) | (bins_now > 0)
    n, m = reference.row_count, current.row_count
    by_chance = (int(used.sum()) - 1) * (1 / n + 1 / m)
    noise = by_rows = stability_noise(int(used.sum()), n, m)
    if isinstance(bins, NumberBins) and not (bins.counts_exactly(before) and bins.counts_exactly(now)):
        noise += SKETCH_INDEX_ERROR
    ks = _ks(bins, before, now) if isinstance(bins, NumberBins) else None
    ks_noise = ks_by_rows = kolmogorov_smirnov_noise(before.count, present) if ks is not None else 0.0
    varied = noise_of(reference.variation.get(name, ()), m, n)
    if varied is not None:
        by_chance = max(by_chance, varied.psi_mean)
        noise = max(noise, varied.psi - by_chance)
        ks_noise = max(ks_noise, varied.ks)
    moved = _moved(before, now)
    # what comes in bunches varies more than its rows say, in each measure as in the index and the distance
    bunched = math.sqrt(max(1.0, noise / by_rows)) if by_rows else 1.0
    psi = max(0.0, population_stability_of(bins_before[used], bins_now[used]) - by_chance)
    unseen_psi, unseen_noise, unseen_ratio = _unseen(before, now)
    if unseen_psi - unseen_noise > psi - noise:
        psi, noise = unseen_psi, unseen_noise
    return FeatureDrift(
        feature=name,
        psi=psi,
        noise=noise,
        ks=ks,
        n_reference=n,
        n_current=m,
        missing_ratio_reference=missing_before / n,
        missing_ratio_current=missing_now / m,
        ks_noise=ks_noise,
        unseen_ratio=unseen_ratio,
        wasserstein=None if moved is None else moved[0],
        wasserstein_noise=0.0 if moved is None else moved[1] * max(1.0, ks_noise / (ks_by_rows or 1.0)),
        jensen_shannon=jensen_shannon(bins_before[used], bins_now[used]),
        jensen_shannon_noise=bunched * shannon_noise(int(used.sum()), n, m),
        chi_square=chi_square_effect(bins_before[used], bins_now[used]),
        chi_square_noise=bunched * chi_square_noise(int(used.sum()), n, m),
    )


def _ks(bins: NumberBins, before: object, now: object) -> float | None:
    """Return the largest gap at the reference's quantiles, from the left and from the right."""
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
    return max(0.0, max(gaps) - SKETCH_ERROR)


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
    return (
        (unseen / looked, known.new_ratio, min(looked, len(seen.sample))) if looked and known.sample else None
    )


def _unseen(before: object, now: object) -> tuple[float, float, float | None]:
    """Return index and noise of texts new against known, and the share of new ones.

    Where the reference's own rows bring new texts all the time, so many are expected. (0, 0, None) where
    the texts are not known well enough.
    """
    if not isinstance(before, TextColumn) or not isinstance(now, TextColumn):
        return 0.0, 0.0, None
    known, seen = before.sketch.hashed, now.sketch.hashed
    if known is None or seen is None:
        return 0.0, 0.0, None
    unseen, looked = seen.unseen_in(known)
    total = sum(known.sample.values())
    if not looked or not total:
        return 0.0, 0.0, None
    expected = known.new_ratio * total
    index = population_stability_of(
        np.array([total - expected, expected]), np.array([looked - unseen, unseen], dtype=np.float64)
    )
    noise = stability_noise(2, total, min(looked, len(seen.sample)))
    is_more = unseen / looked > known.new_ratio
    return (index if is_more else 0.0), noise, unseen / looked
