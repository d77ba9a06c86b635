"""From counts and estimates to a verdict: is it surely over its limit?

Pure functions. Each bounds the chance of a false alarm of one look; looking repeatedly adds these chances
up, which is why the confidence is high.
"""

from __future__ import annotations

import math

SURE_Z = 3.0
"""One-sided chance of a false alarm of one look: 0.135 %."""


def ratio_lower_bound(hits: int, count: int, *, confidence: float = 0.999) -> float:
    """Return the ratio in [0, 1] that the true share of hits exceeds with `confidence`.

    Source:
        Clopper, Pearson, Biometrika 26, 1934 (exact binomial interval, one-sided).

    Example:
        >>> round(ratio_lower_bound(10, 100), 4)
        0.0305
        >>> ratio_lower_bound(0, 100)
        0.0
    """
    if hits <= 0 or count <= 0:
        return 0.0
    from scipy import special

    return float(special.betaincinv(hits, count - hits + 1, 1 - confidence))


def drop_z(drop: float, *standard_errors: float) -> float:
    """Return the drop in units of its standard error; infinite when a drop has no error, 0.0 when NaN.

    Example:
        >>> drop_z(0.05, 0.03, 0.04)
        1.0
    """
    if math.isnan(drop) or any(math.isnan(one) for one in standard_errors):
        return 0.0
    error = math.sqrt(sum(one * one for one in standard_errors))
    if error == 0.0:
        return math.copysign(math.inf, drop) if drop else 0.0
    return drop / error
