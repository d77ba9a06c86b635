"""Distances between two distributions, as effect sizes with the size chance alone would give them.

Pure functions of counts and distribution functions; which bins to use is the caller's decision.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from penstock.stats.quantiles import chi_square_quantile

Floats = npt.NDArray[np.float64]


def population_stability(reference: Floats, current: Floats) -> float:
    """Return the population stability index of two `(k,)` arrays of bin counts, corrected for chance.

    Half a count is added to every bin, so an empty one stays finite. What two samples of one distribution
    give on average, (k - 1)(1/n + 1/m), is subtracted; the result is never negative, and 0.0 when either
    side is empty.

    Source:
        Lewis, "An Introduction to Credit Scoring", 1994 (the index); Yurdakul, "Statistical Properties of
        Population Stability Index", 2018, eq. 3.3 (its chi-square law under no change).

    Example:
        >>> population_stability(np.array([500.0, 500.0]), np.array([500.0, 500.0]))
        0.0
        >>> round(population_stability(np.array([9000.0, 1000.0]), np.array([5000.0, 5000.0])), 2)
        0.88
    """
    n, m = float(reference.sum()), float(current.sum())
    if n <= 0 or m <= 0:
        return 0.0
    return max(0.0, population_stability_of(reference, current) - (len(reference) - 1) * (1 / n + 1 / m))


def population_stability_of(reference: Floats, current: Floats) -> float:
    """Return the population stability index as it is, chance included; half a count is added to every bin."""
    p = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    q = (current + 0.5) / (current.sum() + 0.5 * len(current))
    return float(((q - p) * np.log(q / p)).sum())


def stability_noise(bin_count: int, n: float, m: float, *, confidence: float = 0.9999) -> float:
    """Return the corrected index that samples of n and m rows exceed by chance with 1 - `confidence`.

    Source:
        Yurdakul 2018, eq. 3.3: the index divided by (1/n + 1/m) is chi-square with k - 1 degrees.
    """
    if bin_count < 2 or n <= 0 or m <= 0:
        return 0.0
    upper = chi_square_quantile(bin_count - 1, confidence)
    return (upper - (bin_count - 1)) * (1 / n + 1 / m)


def kolmogorov_smirnov_noise(n: float, m: float, *, confidence: float = 0.9999) -> float:
    """Return the distance that samples of n and m rows of one distribution exceed with 1 - `confidence`.

    Source: Smirnov, "Table for estimating the goodness of fit of empirical distributions", 1948; the first
    term of its series, an upper bound.
    """
    if n <= 0 or m <= 0:
        return 1.0
    return min(1.0, math.sqrt(math.log(2 / (1 - confidence)) / 2 * (1 / n + 1 / m)))


def kolmogorov_smirnov(reference_cdf: Floats, current_cdf: Floats) -> float:
    """Return the largest gap in [0, 1] of two distribution functions taken at the same points."""
    if not len(reference_cdf):
        return 0.0
    return float(np.abs(reference_cdf - current_cdf).max())
