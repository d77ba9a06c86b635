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


def jensen_shannon(reference: Floats, current: Floats) -> float:
    """Return the Jensen-Shannon distance in [0, 1] of two `(k,)` arrays of bin counts; 0.0 when either is empty.

    The square root of the divergence with logarithms to the base 2. Chance is not taken off: `shannon_noise` tells it.

    Source:
        Endres, Schindelin, "A New Metric for Probability Distributions", 2003.

    Example:
        >>> jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
        1.0
    """
    n, m = float(reference.sum()), float(current.sum())
    if n <= 0 or m <= 0:
        return 0.0
    p, q = reference / n, current / m
    middle = (p + q) / 2
    divergence = 0.0
    for part in (p, q):
        has = part > 0
        divergence += float((part[has] * np.log2(part[has] / middle[has])).sum()) / 2
    return math.sqrt(min(1.0, max(0.0, divergence)))


def shannon_noise(bin_count: int, n: float, m: float, *, confidence: float = 0.9999) -> float:
    """Return the Jensen-Shannon distance that samples of n and m rows exceed by chance with 1 - `confidence`.

    Source:
        Grosse et al., "Analysis of symbolic sequences using the Jensen-Shannon divergence", 2002, eq. 17: the
        divergence in nats is about an eighth of (1/n + 1/m) times chi-square with k - 1 degrees.
    """
    if bin_count < 2 or n <= 0 or m <= 0:
        return 0.0
    upper = chi_square_quantile(bin_count - 1, confidence)
    return min(1.0, math.sqrt(upper * (1 / n + 1 / m) / (8 * math.log(2))))


def chi_square_effect(reference: Floats, current: Floats) -> float:
    """Return Cohen's w: the root of the chi-square statistic of the current counts against the reference's shares, a row.

    Half a count is added to every bin of both, so a bin that the reference never had stays finite. 0.1 is called a
    small effect, 0.3 a medium one, 0.5 a large one; 0.0 when either side is empty.

    Source:
        Pearson, "On the criterion that a given system of deviations …", 1900; Cohen, "Statistical Power Analysis for the
        Behavioral Sciences", 1988, eq. 7.2.1.

    Example:
        >>> round(chi_square_effect(np.array([5e5, 5e5]), np.array([6e5, 4e5])), 3)
        0.2
    """
    if reference.sum() <= 0 or current.sum() <= 0:
        return 0.0
    p = (reference + 0.5) / (reference.sum() + 0.5 * len(reference))
    q = (current + 0.5) / (current.sum() + 0.5 * len(current))
    return math.sqrt(float((np.square(q - p) / p).sum()))


def chi_square_noise(bin_count: int, n: float, m: float, *, confidence: float = 0.9999) -> float:
    """Return the effect w that samples of n and m rows exceed by chance with 1 - `confidence`."""
    if bin_count < 2 or n <= 0 or m <= 0:
        return 0.0
    return math.sqrt(chi_square_quantile(bin_count - 1, confidence) * (1 / n + 1 / m))


def wasserstein(points: Floats, reference_cdf: Floats, current_cdf: Floats) -> float:
    """Return the Wasserstein distance of order 1, in the unit of the values: the area between two distribution functions.

    Args:
        points: increasing; both functions are constant from each point to the next.

    Source:
        Vallender, "Calculation of the Wasserstein distance between probability distributions on the line", 1974.

    Example:
        >>> wasserstein(np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([0.0, 1.0]))
        1.0
    """
    if len(points) < 2:
        return 0.0
    return float((np.diff(points) * np.abs(reference_cdf - current_cdf)[:-1]).sum())


def wasserstein_noise(
    points: Floats, cdf: Floats, deviation: float, rows: tuple[float, float], *, confidence: float = 0.9999
) -> float:
    """Return the Wasserstein distance that samples of one distribution exceed by chance with at most 1 - `confidence`.

    Args:
        points: as for `wasserstein`; `cdf` is the distribution function there, `deviation` its standard deviation.
        rows: how many rows the two samples have.

    Source:
        del Barrio, Giné, Matrán, "Central limit theorems for the Wasserstein distance …", 1999: the limit is the integral
        of |B(F)|, whose mean is sqrt(2/pi) times that of sqrt(F (1 - F)); Borell, "The Brunn-Minkowski inequality in Gauss
        space", 1975, bounds how far it is above its mean, by the standard deviation of the values.
    """
    n, m = rows
    if len(points) < 2 or n <= 0 or m <= 0:
        return 0.0
    spread = float((np.diff(points) * np.sqrt(np.maximum(0.0, cdf * (1 - cdf)))[:-1]).sum())
    above = math.sqrt(2 * math.log(1 / (1 - confidence)))
    return math.sqrt(1 / n + 1 / m) * (math.sqrt(2 / math.pi) * spread + above * deviation)
