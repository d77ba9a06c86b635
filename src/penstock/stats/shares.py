"""How sure a share is that was counted."""

from __future__ import annotations

from penstock.stats.quantiles import beta_quantile


def share_bounds(count: int, of: int, alpha: float = 0.05) -> tuple[float, float]:
    """Return bounds that hold a share with confidence 1 - alpha, whatever it is; (0, 1) of nothing.

    Source: Clopper, Pearson, Biometrika 26 (1934).

    Example:
        >>> [round(bound, 4) for bound in share_bounds(3, 100)]
        [0.0062, 0.0852]
    """
    if of == 0:
        return 0.0, 1.0
    low = 0.0 if count == 0 else beta_quantile(count, of - count + 1, alpha / 2)
    high = 1.0 if count == of else beta_quantile(count + 1, of - count, 1 - alpha / 2)
    return low, high
