"""What one row costs: the losses whose means over rows are metrics, for gates, live traffic and estimates alike.

Not the metrics: those are in `stats.significance`, and of sums in `monitoring.quality.measures`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are cut off so far from 0 and 1: what was sure and wrong costs much, not everything. As scikit-learn does."""


def log_losses(labels: Floats, scores: Floats) -> Floats:
    """Return the negative log likelihood in nats of each row, (n,).

    Args:
        labels: (n,) 0 or 1; a probability gives the loss that is expected.
        scores: (n,) probabilities of the positive class.

    Example:
        >>> log_losses(np.array([1.0, 0.0]), np.array([0.5, 0.0])).round(3).tolist()
        [0.693, 0.0]
    """
    likely = clipped(scores)
    found: Floats = -(labels * np.log(likely) + (1 - labels) * np.log1p(-likely))
    return found


def log_losses_of_truth(probabilities: Floats) -> Floats:
    """Return the same of any number of classes, given the probability (n,) that each row's true class had."""
    found: Floats = -np.log(np.clip(probabilities, EPSILON, 1.0))
    return found


def clipped(scores: Floats) -> Floats:
    """Return probabilities that are neither 0 nor 1."""
    found: Floats = np.clip(scores, EPSILON, 1 - EPSILON)
    return found


def losses(metric: str, labels: Floats, scores: Floats) -> Floats:
    """Return what each row costs, (n,), under a metric that is a mean over rows; of accuracy 1 where a row is wrong.

    Raises:
        KeyError: the metric is no such mean.
    """
    return LOSSES[metric](labels, scores)


LOSSES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "brier": lambda labels, scores: np.square(scores - labels),
    "accuracy": lambda labels, scores: ((scores >= 0.5) != (labels > 0.5)).astype(np.float64),
    "log_loss": log_losses,
    "mae": lambda labels, scores: np.abs(scores - labels),
}
