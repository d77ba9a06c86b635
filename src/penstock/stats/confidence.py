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

STEP, RUNGS_MIN = 8.0, 3
"""By how much a scale of `laddered_evidence` is larger than the one before it, and how many there are at least."""
LARGEST = 1e150
"""Ratios beyond it are taken as it, so that their squares are finite."""


def excess_evidence(excess: float, error: float, scale: float) -> float:
    """Return the log evidence that a quantity is above zero, from its estimate and standard error.

    Args:
        excess: the estimate; NaN is no evidence.
        error: its standard error; NaN or an infinity is no evidence, zero makes any excess sure.
        scale: how large an excess would be expected if there were one; only power depends on it.

    Example:
        >>> excess_evidence(-0.01, 0.01, 0.02) < 0 < excess_evidence(0.05, 0.01, 0.02)
        True
    """
    if math.isnan(excess) or not error < math.inf:
        return 0.0
    if error <= 0:
        return math.inf if excess > 0 else 0.0
    z = max(-LARGEST, min(excess / error, LARGEST))
    ratio = min(scale / error, LARGEST) ** 2
    slope = ratio / (1 + ratio)
    return slope * z * z / 2 - math.log1p(ratio) / 2 + math.log(2) + _log_normal_cdf(z * math.sqrt(slope))


def laddered_evidence(excess: float, error: float, scale: float) -> float:
    """Return `excess_evidence` mixed over `scale` and 8, 64, … times it, as far up as the estimate tells of.

    An excess without a bound may be many times what was expected, and its error grows with it; so does the scale. The
    weights 1/2, 1/6, 1/12, … of all rungs sum to one, and what is beyond the last that is taken only adds: the mean
    is held to what each rung is.

    Example:
        >>> laddered_evidence(3000.0, 300.0, 0.5) > 20
        True
    """
    if math.isnan(excess) or not error < math.inf:
        return 0.0
    rungs, most = [scale], max(excess, error)
    while len(rungs) < RUNGS_MIN or 0 < rungs[-1] <= min(most, LARGEST):
        rungs.append(rungs[-1] * STEP)
    return _log_sum(
        [
            excess_evidence(excess, error, rung) - math.log((place + 1) * (place + 2))
            for place, rung in enumerate(rungs)
        ]
    )


def _log_sum(values: Sequence[float]) -> float:
    most = max(values)
    return most if math.isinf(most) else most + math.log(sum(math.exp(one - most) for one in values))


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
