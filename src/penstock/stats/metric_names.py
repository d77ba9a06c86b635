"""The metrics of quality by name, and what each is a metric of: the one home of both, for gates, live traffic and settings.

They are computed elsewhere, with numpy, which settings do without: for a gate in `stats.significance`, of live traffic in
`monitoring.quality.measures`.
"""

from __future__ import annotations

from math import inf
from typing import Literal

LOWER_IS_BETTER = frozenset({"brier", "log_loss", "mae", "rmse", "mape", "calibration_error"})
OF_SCORES = ("roc_auc", "average_precision", "calibration_error")
"""Metrics of the order of probabilities, or of their bins."""
OF_CLASSES = ("precision", "recall", "f1", "macro_f1")
"""Metrics of which class was taken for which."""
OF_NUMBERS = frozenset({"mae", "rmse", "mape", "r2"})
"""Metrics of a regression, which classes have none of."""
OF_ANY_CLASSES = frozenset({"brier", "log_loss"})
"""Metrics of a probability that `probability_CLASS` of more than two classes tells too."""
OF_PROBABILITIES = OF_ANY_CLASSES | frozenset(OF_SCORES)
"""Metrics that the output `probability` is needed for."""
METRICS = frozenset({"accuracy", *OF_CLASSES}) | OF_NUMBERS | OF_PROBABILITIES
"""Those of live quality."""
OF_ANSWERS = METRICS - OF_NUMBERS
"""Metrics of classes."""
RANGES: dict[str, tuple[float, float]] = {
    "r2": (-inf, 1.0),
    "brier": (0.0, 2.0),  # of more than two classes; of two it is 1 at most
    **dict.fromkeys(("log_loss", "mae", "rmse", "mape"), (0.0, inf)),
}
"""The least and the greatest value of the metrics that are not between 0 and 1."""
Compared = Literal["roc_auc", "brier", "accuracy", "log_loss", "mae"]
"""Those by which a gate compares models row by row."""


def range_of(metric: str) -> tuple[float, float]:
    """Return the least and the greatest value that a metric can have.

    Example:
        >>> range_of("accuracy"), range_of("mae")
        ((0.0, 1.0), (0.0, inf))
    """
    return RANGES.get(metric, (0.0, 1.0))


def bound_name(metric: str) -> str:
    """Return what the worst that a metric may be is called: `roc_auc_min`, `mae_max`."""
    return f"{metric}_{'max' if metric in LOWER_IS_BETTER else 'min'}"


def metric_of(name: str) -> str:
    """Return the metric of a bound or of itself."""
    return next((metric for metric in METRICS if name == bound_name(metric)), name)
