"""Drift: how far the columns of one profile are from those of a reference.

Effect sizes, not p-values: at a million rows every difference is significant and none of them matters.
Beside each index stands what chance alone would give at these row counts, so a small window does not cry.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.monitoring.profile import NumberColumn, Profile, TextColumn
from penstock.stats.distances import kolmogorov_smirnov, population_stability, stability_noise

Floats = npt.NDArray[np.float64]
DECILES = tuple(step / 10 for step in range(1, 10))
CATEGORY_COUNT = 20
"""The reference's most frequent texts have a bin each; all others share one."""
CURVE_POINTS = 100


class FeatureDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column is from its reference.

    `psi` is the population stability index over the reference's deciles (or categories) and one bin for
    missing values, corrected for chance; `noise` is what it exceeds by chance once in 10,000 looks. `ks`
    is the Kolmogorov-Smirnov distance of the present numbers, None for texts.
    """

    feature: str
    psi: float
    noise: float
    ks: float | None
    n_reference: int
    n_current: int
    missing_ratio_reference: float
    missing_ratio_current: float


def compare(reference: Profile, current: Profile) -> list[FeatureDrift]:
    """Compare every column of the reference with the current profile, most drifted first.

    A column that the current rows never had counts as missing in all of them. With no rows on one side
    there is no drift to tell of: an empty list.
    """
    if not reference.row_count or not current.row_count:
        return []
    found = [_compare_column(name, reference, current) for name in reference.column_names]
    return sorted(found, key=lambda one: (-one.psi, one.feature))


def _compare_column(name: str, reference: Profile, current: Profile) -> FeatureDrift:
    before, now = reference.column(name), current.column(name)
    ks: float | None = None
    if isinstance(before, NumberColumn):
        numbers = now if isinstance(now, NumberColumn) else NumberColumn()
        bins_before, bins_now = _number_bins(before, numbers)
        ks = _ks(before, numbers)
        present = numbers.count
    else:
        texts = now if isinstance(now, TextColumn) else TextColumn()
        bins_before, bins_now = _text_bins(before or TextColumn(), texts)
        present = texts.count
    missing_before = reference.row_count - (before.count if before else 0)
    missing_now = current.row_count - present
    bins_before = np.append(bins_before, max(0, missing_before))
    bins_now = np.append(bins_now, max(0, missing_now))
    used = (bins_before > 0) | (bins_now > 0)
    return FeatureDrift(
        feature=name,
        psi=population_stability(bins_before[used], bins_now[used]),
        noise=stability_noise(int(used.sum()), reference.row_count, current.row_count),
        ks=ks,
        n_reference=reference.row_count,
        n_current=current.row_count,
        missing_ratio_reference=max(0, missing_before) / reference.row_count,
        missing_ratio_current=max(0, missing_now) / current.row_count,
    )


def _number_bins(before: NumberColumn, now: NumberColumn) -> tuple[Floats, Floats]:
    """Return the counts in the reference's deciles; equal deciles (ties) are one edge."""
    if not before.count:
        return np.zeros(1), np.array([float(now.count)])
    edges = np.unique(before.sketch.quantiles(DECILES))
    return _histogram(before, edges), _histogram(now, edges)


def _histogram(column: NumberColumn, edges: Floats) -> Floats:
    if not column.count:
        return np.zeros(len(edges) + 1)
    cdf = np.concatenate([[0.0], column.sketch.cdf(edges), [1.0]])
    counts: Floats = np.diff(cdf) * column.count
    return counts


def _ks(before: NumberColumn, now: NumberColumn) -> float | None:
    if not before.count or not now.count:
        return None
    ranks = [(step + 0.5) / CURVE_POINTS for step in range(CURVE_POINTS)]
    points = np.unique(np.concatenate([before.sketch.quantiles(ranks), now.sketch.quantiles(ranks)]))
    return kolmogorov_smirnov(before.sketch.cdf(points), now.sketch.cdf(points))


def _text_bins(before: TextColumn, now: TextColumn) -> tuple[Floats, Floats]:
    items = [item for item, _ in before.sketch.top(CATEGORY_COUNT)]
    return _item_counts(before, items), _item_counts(now, items)


def _item_counts(column: TextColumn, items: list[str]) -> Floats:
    counts = np.array([*column.sketch.counts(items), 0], dtype=np.float64)
    counts[-1] = max(0.0, column.count - counts.sum())
    return counts
