"""The names of metrics of quality. How they are computed is `monitoring.quality`, which needs numpy; settings need only these."""

from __future__ import annotations

LOWER_IS_BETTER = frozenset({"brier", "log_loss", "mae", "rmse", "mape", "calibration_error"})
OF_SCORES = ("roc_auc", "average_precision", "calibration_error")
OF_CLASSES = ("precision", "recall", "f1", "macro_f1")
METRICS = frozenset({"accuracy", "r2", *OF_SCORES, *OF_CLASSES}) | LOWER_IS_BETTER


def bound_name(metric: str) -> str:
    """Return what the worst that a metric may be is called: `roc_auc_min`, `mae_max`."""
    return f"{metric}_{'max' if metric in LOWER_IS_BETTER else 'min'}"


def metric_of(name: str) -> str:
    """Return the metric of a bound or of itself."""
    return next((metric for metric in METRICS if name == bound_name(metric)), name)
