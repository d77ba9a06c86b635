"""Confidence that holds at every moment for estimates with a standard error: means, areas, differences.

An estimate that is asymptotically normal is looked at after every new label. Mixing over how large the true
value may be gives an e-process.

Source:
    Robbins, "Statistical methods related to the law of the iterated logarithm", 1970 (the normal mixture);
    Howard, Ramdas, McAuliffe, Sekhon, Annals of Statistics 49, 2021, Proposition 5 (one-sided);
    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences", Annals of Statistics 52, 2024 (for estimates with an estimated error).
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def excess_evidence(excess: float, error: float, scale: float) -> float:
    """Return the log evidence that a quantity is above zero, from its estimate and standard error.

    Args:
        excess: the estimate; NaN is no evidence.
        error: its standard error; NaN is no evidence, zero makes any excess sure.
        scale: how large an excess would be expected if there were one; only power depends on it.

    Example:
        >>> excess_evidence(-0.01, 0.01, 0.02) < 0 < excess_evidence(0.05, 0.01, 0.02)
        True
    """
    if math.isnan(excess) or math.isnan(error):
        return 0.0
    if error <= 0:
        return math.inf if excess > 0 else 0.0
    z, ratio = excess / error, (scale / error) ** 2
    slope = ratio / (1 + ratio)
    return slope * z * z / 2 - math.log1p(ratio) / 2 + math.log(2) + _log_normal_cdf(z * math.sqrt(slope))


def mean_evidence(found: Sequence[float]) -> float:
    """Return the log of the mean of evidences given as logs: what holds for each at every moment holds for it.

    Example:
        >>> mean_evidence([1.0, 1.0])
        1.0
        >>> mean_evidence([math.inf, 0.0])
        inf
    """
    most = max(found)
    if math.isinf(most):
        return most
    return most + math.log(sum(math.exp(one - most) for one in found) / len(found))


def wilson_interval(hits: float, trials: float, z: float = 1.96) -> tuple[float, float]:
    """Return the interval of a share; hits and trials may be shares of counts.

    Source: Wilson, Journal of the American Statistical Association 22, 1927.

    Example:
        >>> [round(one, 3) for one in wilson_interval(5, 100)]
        [0.022, 0.112]
    """
    if trials <= 0:
        return 0.0, 1.0
    share, square = hits / trials, z * z / trials
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(max(0.0, share * (1 - share) / trials + square / (4 * trials))) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def _log_normal_cdf(value: float) -> float:
    """Return log Phi(value), also far out on the left, where Phi itself would be zero."""
    if value > -30:
        return math.log(math.erfc(-value / math.sqrt(2)) / 2)
    return -value * value / 2 - math.log(-value * math.sqrt(2 * math.pi))
