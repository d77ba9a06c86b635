"""Quality: how right predictions were, from labels, in a form that merges.

Binary classification keeps the scores of each class in 1,000 bins, from which ROC AUC follows with its
error, and exact sums for Brier score, log loss and accuracy. Regression keeps sums of errors. Whatever
the labels allow is kept; a metric that cannot be told is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.base.errors import Corrupt, Invalid

Floats = npt.NDArray[np.float64]
BINS = 1000
CLIP = 1e-15
LOWER_IS_BETTER = frozenset({"brier", "log_loss", "mae", "rmse"})
METRICS = frozenset({"roc_auc", "accuracy"}) | LOWER_IS_BETTER


class _Sums(msgspec.Struct):
    """Count, sum and sum of squares of one loss."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: Floats) -> None:
        self.count += len(values)
        self.total += float(values.sum())
        self.squares += float(np.square(values).sum())

    def merged(self, other: _Sums) -> _Sums:
        return _Sums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def mean(self) -> tuple[float, float]:
        """Return the mean and its standard error; NaN without values."""
        if not self.count:
            return math.nan, math.nan
        mean = self.total / self.count
        variance = max(0.0, self.squares / self.count - mean * mean)
        return mean, math.sqrt(variance / max(1, self.count - 1))


class Quality:
    """Mergeable counts of how right predictions were.

    A merge is associative and commutative: exactly for counts, to rounding for sums.
    """

    def __init__(self) -> None:
        self._negatives = np.zeros(BINS, dtype=np.int64)
        self._positives = np.zeros(BINS, dtype=np.int64)
        self._brier = _Sums()
        self._log_loss = _Sums()
        self._correct = _Sums()
        self._absolute = _Sums()
        self._squared = _Sums()

    @staticmethod
    def of(scores: Floats, labels: Floats) -> Quality:
        """Return the quality of `(n,)` scores in [0, 1] against labels 0 or 1; accuracy is at 0.5."""
        result = Quality()
        result.add_binary(scores, labels)
        result.add_classes(np.asarray(scores) >= 0.5, np.asarray(labels) >= 0.5)
        return result

    def add_binary(self, scores: Floats, labels: Floats) -> None:
        """Add probabilities of the positive class and labels 0 or 1."""
        truth = np.asarray(labels, dtype=np.float64)
        values = np.clip(np.asarray(scores, dtype=np.float64), 0.0, 1.0)
        bins = np.minimum((values * BINS).astype(np.int64), BINS - 1)
        self._positives += np.bincount(bins[truth > 0.5], minlength=BINS)
        self._negatives += np.bincount(bins[truth <= 0.5], minlength=BINS)
        self._brier.add(np.square(values - truth))
        likely = np.clip(np.where(truth > 0.5, values, 1 - values), CLIP, 1.0)
        self._log_loss.add(-np.log(likely))

    def add_classes(
        self, predicted: Sequence[Any] | npt.NDArray[Any], labels: Sequence[Any] | npt.NDArray[Any]
    ) -> None:
        """Add predicted classes and true ones."""
        right = [float(one == other) for one, other in zip(predicted, labels, strict=True)]
        self._correct.add(np.array(right))

    def add_values(self, predicted: Floats, labels: Floats) -> None:
        """Add predicted numbers and true ones."""
        errors = np.asarray(predicted, dtype=np.float64) - np.asarray(labels, dtype=np.float64)
        self._absolute.add(np.abs(errors))
        self._squared.add(np.square(errors))

    @property
    def label_count(self) -> int:
        """How many labelled rows there are."""
        return max(self._brier.count, self._correct.count, self._absolute.count)

    @property
    def positive_count(self) -> int:
        """How many labels were positive."""
        return int(self._positives.sum())

    def roc_auc(self) -> float:
        """Return the area under the ROC curve; scores within a bin count as ties. NaN with one class only."""
        return self._auc()[0]

    def brier(self) -> float:
        """Return the mean squared difference of probability and label."""
        return self._brier.mean()[0]

    def accuracy(self) -> float:
        """Return the share of right classes."""
        return self._correct.mean()[0]

    def log_loss(self) -> float:
        """Return the mean negative log-likelihood in nats."""
        return self._log_loss.mean()[0]

    def metric(self, name: str) -> tuple[float, float]:
        """Return a metric and its standard error; (NaN, NaN) where the labels do not tell it.

        Raises:
            Invalid: the metric is unknown.
        """
        if name == "roc_auc":
            return self._auc()
        if name == "rmse":
            mean, error = self._squared.mean()
            return math.sqrt(mean), error / (2 * math.sqrt(mean)) if mean > 0 else error
        sums = {
            "brier": self._brier,
            "accuracy": self._correct,
            "log_loss": self._log_loss,
            "mae": self._absolute,
        }.get(name)
        if sums is None:
            raise Invalid(
                f"live quality has no metric {name!r}",
                code="monitoring.metric_unknown",
                hint=f"known metrics: {', '.join(sorted(METRICS))}",
            )
        return sums.mean()

    def _auc(self) -> tuple[float, float]:
        """Area and standard error from the placements of each class in the other.

        Source:
            DeLong, DeLong, Clarke-Pearson, Biometrics 44, 1988, eqs. 3 to 5, on binned scores (ties count
            one half).
        """
        positives, negatives = self._positives, self._negatives
        n_positive, n_negative = int(positives.sum()), int(negatives.sum())
        if not n_positive or not n_negative:
            return math.nan, math.nan
        below = np.concatenate([[0], np.cumsum(negatives)[:-1]])
        of_positive = (below + 0.5 * negatives) / n_negative
        above = n_positive - np.cumsum(positives)
        of_negative = (above + 0.5 * positives) / n_positive
        area = float((positives * of_positive).sum() / n_positive)
        spread_positive = float((positives * np.square(of_positive - area)).sum() / max(1, n_positive - 1))
        spread_negative = float((negatives * np.square(of_negative - area)).sum() / max(1, n_negative - 1))
        return area, math.sqrt(spread_positive / n_positive + spread_negative / n_negative)

    def merge(self, other: Quality) -> Quality:
        """Return the quality of both; neither argument changes."""
        result = Quality()
        result._positives = self._positives + other._positives
        result._negatives = self._negatives + other._negatives
        for name in _SUMS:
            setattr(result, name, getattr(self, name).merged(getattr(other, name)))
        return result

    def to_bytes(self) -> bytes:
        """Serialise as MessagePack [1, positives, negatives, sums…], bins as [bin, count, …]."""
        sums = [msgspec.structs.astuple(getattr(self, name)) for name in _SUMS]
        return msgspec.msgpack.encode([1, _sparse(self._positives), _sparse(self._negatives), sums])

    @staticmethod
    def from_bytes(data: bytes) -> Quality:
        """Read what `to_bytes` wrote.

        Raises:
            Corrupt: the bytes are something else.
        """
        result = Quality()
        try:
            version, positives, negatives, sums = msgspec.msgpack.decode(data, type=_Packed)
            if version != 1 or len(sums) != len(_SUMS):
                raise ValueError(f"format {version} is unknown")
            result._positives[positives[::2]] = positives[1::2]
            result._negatives[negatives[::2]] = negatives[1::2]
        except (msgspec.DecodeError, ValueError, IndexError) as error:
            raise Corrupt(
                f"quality counts cannot be read: {error}", code="monitoring.quality_corrupt"
            ) from None
        for name, values in zip(_SUMS, sums, strict=True):
            setattr(result, name, _Sums(*values))
        return result


_SUMS = ("_brier", "_log_loss", "_correct", "_absolute", "_squared")
_Packed = tuple[int, list[int], list[int], list[tuple[int, float, float]]]


def _sparse(counts: npt.NDArray[np.int64]) -> list[int]:
    return [int(value) for index in np.flatnonzero(counts) for value in (index, counts[index])]
