"""How well a binary classifier does, estimated from its probabilities alone, as long as they are calibrated.

A row that is given the probability p is positive with probability p, whatever its label turns out to be; so the
expected counts of right and wrong answers follow from the probabilities. How far a metric of the real labels is off by
chance follows too. Nothing is known here of whether the probabilities are calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.stats.losses import clipped, log_losses

Floats = npt.NDArray[np.float64]


def estimate_performance(scores: Floats, weights: Floats) -> Mapping[str, tuple[float, float]]:
    """Return accuracy, ROC AUC, Brier score and log loss that are expected, each with its standard error.

    The error is that of the metric once the labels of these rows are known. A score of 0.5 is positive; NaN for what
    they do not tell.

    Args:
        scores: `(n,)` probabilities of the positive class in [0, 1].
        weights: `(n,)` how many rows have each.

    Source:
        Białek, Kivimäki, Kuberski, Perrakis, "Estimating Model Performance Under Covariate Shift Without Labels", 2024
        (CBPE); Hanley, McNeil, "The meaning and use of the area under a ROC curve", 1982 (the error of the AUC).

    Example:
        >>> estimate_performance(np.array([0.9, 0.2]), np.array([100.0, 100.0]))["accuracy"][0]
        0.85
    """
    total = float(weights.sum())
    if total <= 0:
        return {}
    spread = scores * (1 - scores)
    likely = clipped(scores)
    means = {
        "accuracy": (np.maximum(scores, 1 - scores), spread),
        "brier": (spread, spread * np.square(1 - 2 * scores)),
        "log_loss": (log_losses(scores, scores), spread * np.square(np.log(likely / (1 - likely)))),
    }
    found = {
        name: (float((weights * value).sum() / total), math.sqrt(float((weights * variance).sum())) / total)
        for name, (value, variance) in means.items()
    }
    found["roc_auc"] = _roc_auc(scores, weights)
    return found


def _roc_auc(scores: Floats, weights: Floats) -> tuple[float, float]:
    values, places = np.unique(scores, return_inverse=True)
    rows = np.bincount(places, weights=weights, minlength=len(values))
    positive, negative = rows * values, rows * (1 - values)
    n, m = float(positive.sum()), float(negative.sum())
    if n <= 0 or m <= 0:
        return math.nan, math.nan
    below = np.cumsum(negative) - negative
    area = float((positive * (below + negative / 2)).sum() / (n * m))
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n - 1) * (first - area**2) + (m - 1) * (second - area**2)
    return area, math.sqrt(max(0.0, variance) / (n * m))
