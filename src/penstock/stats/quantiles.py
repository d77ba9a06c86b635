"""Quantiles of the beta, chi-square and Student's distribution, to twelve digits, in plain Python.

Four functions are all that is needed of a library of 140 MB (scipy, which the tests compare these with).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

EPSILON = 1e-15
TINY = 1e-300
STEPS = 10_000


def beta_quantile(a: float, b: float, probability: float) -> float:
    """Return x in [0, 1] with P(X <= x) = `probability` for X of the beta distribution; a, b > 0.

    Source:
        NIST DLMF 8.17.22 (continued fraction of the incomplete beta function), evaluated by Lentz's method.

    Example:
        >>> round(beta_quantile(10, 91, 0.001), 4)
        0.0305
    """
    if probability <= 0:
        return 0.0
    if probability >= 1:
        return 1.0
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

    def density(x: float) -> float:
        return math.exp(scale + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x))

    return _invert(lambda x: _beta_share(a, b, x), density, probability, 1.0)


def student_quantile(degrees: float, alpha: float) -> float:
    """Return t > 0 with P(|T| > t) = `alpha`, in (0, 1), for T of Student's distribution.

    Source:
        Abramowitz, Stegun, Handbook of Mathematical Functions, 26.7.1 (Student's law by the beta's).

    Example:
        >>> round(student_quantile(4, 0.05), 3)
        2.776
    """
    rest = beta_quantile(degrees / 2, 0.5, alpha)
    return math.sqrt(degrees * (1 - rest) / rest)


def student_tail(value: float, degrees: float) -> float:
    """Return P(T > value) for T of Student's distribution.

    Source:
        Abramowitz, Stegun, Handbook of Mathematical Functions, 26.7.1 (Student's law by the beta's).

    Example:
        >>> round(student_tail(2.776, 4), 3)
        0.025
    """
    beyond = _beta_share(degrees / 2, 0.5, degrees / (degrees + value * value)) / 2
    return beyond if value >= 0 else 1 - beyond


@lru_cache(maxsize=1024)
def chi_square_quantile(degrees: float, probability: float) -> float:
    """Return x >= 0 with P(X <= x) = `probability`, in (0, 1), for X of the chi-square distribution.

    Source:
        NIST DLMF 8.7.1 (series) and 8.9.2 (continued fraction) of the incomplete gamma function.

    Example:
        >>> round(chi_square_quantile(9, 0.95), 3)
        16.919
    """
    high = degrees + 10 * math.sqrt(2 * degrees) + 10
    while _gamma_share(degrees / 2, high / 2) < probability:
        high *= 2
    half = degrees / 2

    def density(x: float) -> float:
        return math.exp((half - 1) * math.log(x / 2) - x / 2 - math.lgamma(half)) / 2

    return _invert(lambda x: _gamma_share(half, x / 2), density, probability, high)


def _invert(
    share: Callable[[float], float], density: Callable[[float], float], probability: float, high: float
) -> float:
    """Return where `share`, which grows from 0 to `high`, is `probability`: Newton's steps inside a bracket."""
    low, x = 0.0, high / 2
    for _ in range(STEPS):
        missing = probability - share(x)
        if missing > 0:
            low = x
        else:
            high = x
        slope = density(x)
        following = x + missing / slope if slope > TINY else low
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - x) <= 1e-13 * x or following in {low, high}:
            return following
        x = following
    return x


def _beta_share(a: float, b: float, x: float) -> float:
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):
        return math.exp(front) * _beta_fraction(a, b, x) / a
    return 1 - math.exp(front) * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for step in range(1, STEPS):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        change = 1.0
        for term in (even, odd):
            d = 1 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            change = c * d
            value *= change
        if abs(change - 1) < EPSILON:
            break
    return value


def _gamma_share(a: float, x: float) -> float:
    if x <= 0:
        return 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for step in range(1, STEPS):
            term *= x / (a + step)
            total += term
            if term < total * EPSILON:
                break
        return front * total
    b = x + 1 - a
    c, d = 1 / TINY, 1 / b
    value = d
    for step in range(1, STEPS):
        term = -step * (step - a)
        b += 2
        d = 1 / _nonzero(term * d + b)
        c = _nonzero(b + term / c)
        value *= c * d
        if abs(c * d - 1) < EPSILON:
            break
    return 1 - front * value


def _nonzero(value: float) -> float:
    return value if abs(value) > TINY else TINY
