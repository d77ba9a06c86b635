"""The names of metrics of quality. How they are computed is `monitoring.quality`, which needs numpy; settings need only these."""

from __future__ import annotations

LOWER_IS_BETTER = frozenset({"brier", "log_loss", "mae", "rmse", "mape", "calibration_error"})
OF_SCORES = ("roc_auc", "average_precision", "calibration_error")
OF_CLASSES = ("precision", "recall", "f1", "macro_f1")
METRICS = frozenset({"accuracy", "r2", *OF_SCORES, *OF_CLASSES}) | LOWER_IS_BETTER
