"""Quality: how right predictions were, as metrics with the error that chance gives them.

Binary classification has the ranking metrics, Brier score, log loss, calibration error, and accuracy,
precision, recall and F1 of the positive class; any number of classes accuracy and macro F1; regression mae,
rmse, r2 and mape. A metric that the labels do not tell is NaN. Leaving out one group of requests after the
other shows how far chance may carry a metric, whatever the rows of a request share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.base.errors import Invalid
from penstock.monitoring.profile import LOST
from penstock.monitoring.quality.counts import (
    AT,
    GROUPS,
    NONE,
    OTHERS,
    POSITIVE,
    UNKNOWN,
    Counts,
    QualityCounts,
)
from penstock.stats import classification
from penstock.stats.metric_names import METRICS, OF_CLASSES, OF_SCORES

Floats = npt.NDArray[np.float64]
MIN_OF_CLASS = 10
"""With fewer rows of a class, or fewer predictions of it, a metric of that class has no error to be trusted."""
MIN_GROUPS = 8
GROUP_FACTOR = 1.1
"""An error from 32 groups is itself uncertain: Student's quantiles over the normal ones, far out."""
MEANS = {
    "brier": ("brier", "scored"),
    "log_loss": ("log_loss", "scored"),
    "accuracy": ("right", "classed"),
    "mae": ("absolute", "valued"),
    "mape": ("percent", "sized"),
}
"""Metrics that are means over rows, so that parts of them add up: what is summed (`counts.SUMS`), over how many rows."""


class Quality(QualityCounts):
    """Mergeable counts of how right predictions were, and the metrics they make."""

    @staticmethod
    def of(scores: Floats, labels: Floats) -> Quality:
        """Return the quality of `(n,)` scores in [0, 1] against labels 0 or 1; a score of 0.5 is positive."""
        result = Quality()
        truth = np.asarray(labels) >= 0.5
        predicted = np.asarray(scores) >= 0.5
        result.add_binary(scores, truth)
        result.add_classes(np.where(predicted, POSITIVE, "-"), np.where(truth, POSITIVE, "-"))
        return result

    def roc_auc(self) -> float:
        """Return the area under the ROC curve; scores within a bin count as ties. NaN with one class only."""
        return self.metric("roc_auc")[0]

    def brier(self) -> float:
        """Return the mean squared difference of probability and label."""
        return self.metric("brier")[0]

    def accuracy(self) -> float:
        """Return the share of right classes."""
        return self.metric("accuracy")[0]

    def log_loss(self) -> float:
        """Return the mean negative log-likelihood in nats."""
        return self.metric("log_loss")[0]

    def value(self, name: str) -> float:
        """Return a metric without its error, which costs most of a metric; NaN for what the labels do not tell.

        Raises:
            Invalid: the metric is unknown.
        """
        if name not in METRICS:
            raise Invalid(
                f"live quality has no metric {name!r}",
                code="monitoring.metric_unknown",
                hint=f"known metrics: {', '.join(sorted(METRICS))}",
            )
        whole = self._values(name, whole=True)
        return math.nan if whole is None else float(whole[0])

    def metric(self, name: str) -> tuple[float, float]:
        """Return a metric and its standard error; NaN for what the labels do not tell.

        The error is NaN with fewer than `MIN_OF_CLASS` rows of a class that the metric is about, and with
        too few requests.

        Raises:
            Invalid: the metric is unknown.
        """
        value = self.value(name)
        if math.isnan(value):
            return math.nan, math.nan
        if self.lacking(name) is not None:
            return value, math.nan
        without = self._values(name, whole=False)
        spread = math.nan if without is None else classification.left_out_error(without) * GROUP_FACTOR
        return value, max(self._independent_error(name, value), spread) if spread >= 0 else math.nan

    def lacking(self, name: str) -> str | None:
        """Say what is missing before a metric has an error that can be trusted; None when nothing is."""
        if int(self._used().sum()) < MIN_GROUPS:
            return "labels of too few requests yet"
        if name == "macro_f1" and UNKNOWN in self.classes:
            return "labels of more classes than can be told apart (1,000 now, fewer before this version)"
        needs: dict[str, int] = {}
        if name in OF_SCORES:
            counts = np.zeros((2, 1), dtype=np.int64) if self.fine is NONE else self.fine
            needs = {"positive labels": int(counts[1].sum()), "negative labels": int(counts[0].sum())}
        elif name in ("precision", "recall", "f1"):
            hit, false, missed = (int(one.sum()) for one in self._confusion())
            needs = {"positive predictions": hit + false} if name == "precision" else {}
            needs |= {"positive labels": hit + missed} if name != "precision" else {}
        short = next((f"{n} of {MIN_OF_CLASS} {what}" for what, n in needs.items() if n < MIN_OF_CLASS), None)
        return f"{short} yet" if short else None

    def _used(self) -> npt.NDArray[np.bool_]:
        """Return which groups have rows."""
        counts: Floats = self.sums[:, [AT["scored"], AT["classed"], AT["valued"]]]
        used: npt.NDArray[np.bool_] = np.greater(counts.sum(axis=1), 0)
        return used

    def _confusion(self) -> tuple[Counts, Counts, Counts]:
        """Return hits, false alarms and misses of the positive class, by group."""
        none = np.zeros(GROUPS, dtype=np.int64)
        pairs = ((POSITIVE, POSITIVE), (OTHERS, POSITIVE), (POSITIVE, OTHERS))
        hit, false, missed = (self.classes.get(pair, none) for pair in pairs)
        return hit, false, missed

    def _stacked(self, pairs: Sequence[tuple[str, str]]) -> Counts:
        """Return the counts of each pair, `(n_groups, n_pairs)`."""
        none = np.zeros(GROUPS, dtype=np.int64)
        return np.stack([self.classes.get(pair, none) for pair in pairs], axis=1)

    def _values(self, name: str, *, whole: bool) -> Floats | None:
        """Return a metric of everything, `(1,)`, or without each group that has rows, `(n_groups,)`."""
        used = None if whole else self._used()

        def fold(values: Any) -> Floats:
            array: Floats = np.asarray(values, dtype=np.float64)
            total: Floats = array.sum(axis=0, keepdims=True)
            return total if used is None else total - array[used]

        if name in OF_SCORES:
            if self.fine is NONE:
                return None
            counts = self.fine[None].astype(np.float64) if whole else fold(self.coarse)
            function = {
                "roc_auc": classification.area,
                "average_precision": classification.average_precision,
                "calibration_error": classification.calibration_error,
            }[name]
            found: Floats = function(counts[:, 0], counts[:, 1])
            return found
        if name in OF_CLASSES:
            return self._class_values(name, fold)
        sums = fold(self.sums)
        total, count = MEANS.get(name, ("squared", "valued"))
        counts = sums[:, AT[count]]
        with np.errstate(divide="ignore", invalid="ignore"):
            if name in MEANS:
                return sums[:, AT[total]] / counts
            if (
                name == "rmse"
            ):  # without the group that has nearly all of it, rounding may leave less than nothing
                return np.sqrt(np.maximum(sums[:, AT[total]], 0.0) / counts)
            if name != "r2":
                raise LookupError(f"{name} is a name in stats/metric_names.py, and nothing computes it here")
            label = sums[:, AT["label"]]
            spread = sums[:, AT["label_squares"]] - np.square(label) / counts
            is_known = spread > LOST * sums[:, AT["label_squares"]]
            explained: Floats = np.where(is_known, 1 - sums[:, AT["squared"]] / spread, np.nan)
            return explained

    def _class_values(self, name: str, fold: Any) -> Floats | None:
        if name == "macro_f1":
            names = sorted({one for pair in self.classes for one in pair} - {OTHERS})
            if not names or UNKNOWN in self.classes:
                return None
            pairs = (
                [(one, one) for one in names],
                [(OTHERS, one) for one in names],
                [(one, OTHERS) for one in names],
            )
            return classification.macro_f1(*(fold(self._stacked(one)) for one in pairs))
        if not any(POSITIVE in pair for pair in self.classes):
            return None
        hit, false, missed = (fold(one) for one in self._confusion())
        if name == "precision":
            return classification.precision(hit, false)
        return classification.precision(hit, missed) if name == "recall" else classification.f1(hit, false, missed)  # fmt: skip

    def _independent_error(self, name: str, value: float) -> float:
        """Return the error that independent rows would have; 0.0 where only the groups tell it."""
        if name == "roc_auc":
            return classification.area_error(*self.fine.astype(np.float64))
        if name in ("accuracy", "precision", "recall"):
            hit, false, missed = (int(one.sum()) for one in self._confusion())
            count = {"precision": hit + false, "recall": hit + missed}.get(name, self.total("classed"))
            drawn = (value * count + 1) / (count + 2)
            return math.sqrt(drawn * (1 - drawn) / count)
        if name in MEANS or name == "rmse":
            summed, rows = MEANS.get(name, ("squared", "valued"))
            at, count = AT[summed], self.total(rows)
            mean = float(self.sums[:, at].sum()) / count
            variance = max(0.0, float(self.squares[at]) / count - mean * mean)
            error = math.sqrt(variance / max(1.0, count - 1))
            return error if name != "rmse" or not value else error / (2 * value)
        return 0.0
