"""Whether a difference between two models on the same rows is more than chance: the paired bootstrap.

Rows, or whole groups of rows that belong together, are resampled by drawing counts; both models are scored
with the same counts, so what they share cancels. Scores are sorted once, so a resample costs O(n), not O(n log n);
many small resamples are scored in one step.
Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16; Field and Welsh,
"Bootstrapping clustered data", Journal of the Royal Statistical Society B 69 (2007), for groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from penstock.stats.losses import losses
from penstock.stats.metric_names import LOWER_IS_BETTER, Compared
from penstock.stats.quantiles import student_quantile

Floats = NDArray[np.float64]
AT_ONCE = 1 << 13
"""Weights of resamples that are scored in one step: as many as stay in a processor's cache."""


class WeightedMetric:
    """A metric of given labels and scores as a function of row weights."""

    def __init__(self, each: Callable[[Floats], Floats]) -> None:
        self._each = each

    def __call__(self, weights: Floats) -> float:
        """Return the metric for one weight a row, (n,)."""
        return float(self._each(weights[np.newaxis])[0])

    def each(self, weights: Floats) -> Floats:
        """Return the metric, (k,), for each of k resamples, (k, n); the numbers are those of single calls."""
        return self._each(weights)


@dataclass(frozen=True)
class PairedDifference:
    """Candidate minus baseline, oriented so that positive is better.

    `low` and `high` bound the difference with confidence 1 - alpha; `low` alone bounds it from below
    with confidence 1 - alpha / 2.
    """

    candidate: float
    baseline: float
    difference: float
    low: float
    high: float
    row_count: int
    group_count: int
    resample_count: int


def roc_auc(labels: Floats, scores: Floats) -> WeightedMetric:
    """Return ROC AUC as a function of row weights; ties count one half.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) any order-preserving score, no NaN.

    Source: Mann and Whitney (1947); Hanley and McNeil, Radiology 143 (1982).

    Example:
        >>> auc = roc_auc(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.2, 0.9]))
        >>> auc(np.ones(4))
        0.875
    """
    ranks = np.argsort(scores, kind="stable")
    is_positive = labels[ranks] > 0.5
    rising = scores[ranks]
    starts = np.flatnonzero(np.r_[True, rising[1:] != rising[:-1]]) if len(ranks) else ranks

    def weighted(weights: Floats) -> Floats:
        ordered = np.stack([row[ranks] for row in weights])
        positive = ordered * is_positive
        negative = ordered - positive
        if len(starts) < len(ranks):
            positive, negative = (np.add.reduceat(one, starts, axis=1) for one in (positive, negative))
        totals = positive.sum(axis=1) * negative.sum(axis=1)
        below = np.cumsum(negative, axis=1)
        negative /= 2
        below -= negative
        below *= positive
        scores_of: Floats = np.full(len(weights), np.nan)
        np.divide(below.sum(axis=1), totals, out=scores_of, where=totals != 0)
        return scores_of

    return WeightedMetric(weighted)


def _mean_of(each: Floats) -> WeightedMetric:
    def weighted(weights: Floats) -> Floats:
        found: Floats = (weights * each).sum(axis=1) / weights.sum(axis=1)
        return found

    return WeightedMetric(weighted)


def brier(labels: Floats, scores: Floats) -> WeightedMetric:
    """Return the mean squared error of probabilities as a function of row weights."""
    return _mean_of(losses("brier", labels, scores))


def accuracy(labels: Floats, scores: Floats) -> WeightedMetric:
    """Return the share of rows on the right side of 0.5 as a function of row weights."""
    return _mean_of(1 - losses("accuracy", labels, scores))


def log_loss(labels: Floats, scores: Floats) -> WeightedMetric:
    """Return the mean negative log likelihood as a function of row weights."""
    return _mean_of(losses("log_loss", labels, scores))


def mae(labels: Floats, scores: Floats) -> WeightedMetric:
    """Return the mean absolute error as a function of row weights."""
    return _mean_of(losses("mae", labels, scores))


METRICS: dict[Compared, Callable[[Floats, Floats], WeightedMetric]] = {
    "roc_auc": roc_auc,
    "brier": brier,
    "accuracy": accuracy,
    "log_loss": log_loss,
    "mae": mae,
}


def score(metric: Compared, labels: Floats, scores: Floats) -> float:
    """Return a metric over all rows, each counted once."""
    return METRICS[metric](labels, scores)(np.ones(len(labels)))


def paired_bootstrap(
    metric: Compared,
    labels: Floats,
    candidate: Floats,
    baseline: Floats,
    *,
    generator: np.random.Generator,
    groups: NDArray[np.int64] | None = None,
    resample_count: int = 2000,
    alpha: float = 0.05,
) -> PairedDifference:
    """Bound how much better the candidate is than the baseline on the same rows.

    Percentile interval, widened as Student's law is wider than the normal one for so many groups, or rows of
    the rarer class; resamples with only one class are left out.

    Args:
        metric: a key of `METRICS`.
        labels: (n,) truth; for classification 0 or 1.
        candidate: (n,) the candidate's scores.
        baseline: (n,) the baseline's scores.
        generator: source of randomness; the same state gives the same bounds.
        groups: (n,) the number of each row's group, from 0 on; by default each row is one.

    Cost: O(n) per resample; 2,000 resamples of 15,000 rows take about a second, 200 resamples of 400 rows 10 ms.
    """
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    first, second = METRICS[metric](labels, candidate), METRICS[metric](labels, baseline)
    row_count = len(labels)
    ones = np.ones(row_count)
    observed = first(ones), second(ones)
    differences = np.empty(resample_count)
    group_count = row_count if groups is None else int(groups.max()) + 1
    step = max(1, AT_ONCE // max(row_count, 1))
    for start in range(0, resample_count, step):
        count = min(step, resample_count - start)
        drawn = generator.integers(0, group_count, (count, group_count))
        drawn += group_count * np.arange(count)[:, np.newaxis]
        counted = np.bincount(drawn.ravel(), minlength=count * group_count)
        weights = counted.reshape(count, group_count).astype(np.float64)
        if groups is not None:
            weights = np.stack([row[groups] for row in weights])
        differences[start : start + count] = sign * (first.each(weights) - second.each(weights))
    low, high = np.nanquantile(differences, [alpha / 2, 1 - alpha / 2])
    difference = sign * (observed[0] - observed[1])
    wider = _student_factor(_independent_count(metric, labels, group_count), alpha)
    return PairedDifference(
        candidate=observed[0],
        baseline=observed[1],
        difference=difference,
        low=difference - wider * (difference - float(low)),
        high=difference + wider * (float(high) - difference),
        row_count=row_count,
        group_count=group_count,
        resample_count=resample_count,
    )


def _independent_count(metric: str, labels: Floats, group_count: int) -> int:
    """Return how many independent pieces a metric rests on: groups, or rows of the rarer class."""
    if metric != "roc_auc":
        return group_count
    positives = int((labels > 0.5).sum())
    return min(group_count, positives, len(labels) - positives)


def _student_factor(count: int, alpha: float) -> float:
    """Return how much wider an interval from `count` pieces is than the percentiles of its bootstrap."""
    if count < 2:
        return 1.0
    normal = NormalDist().inv_cdf(1 - alpha / 2)
    return student_quantile(count - 1, alpha) / normal * math.sqrt(count / (count - 1))
