"""Metrics of classifiers from counts: of scores in equal bins of [0, 1], and of classes.

Everything is computed for a whole stack of counts at once, so that leaving out one group after the other
costs one call. What cannot be told is NaN.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
CALIBRATION_BINS = 10


def area(negatives: Floats, positives: Floats) -> Floats:
    """Return the area under the ROC curve of `(…, bins)` counts; scores within a bin count as ties.

    Source: Mann, Whitney, 1947; Hanley, McNeil, Radiology 143, 1982.
    """
    below = np.cumsum(negatives, axis=-1) - negatives
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    return _ratio((positives * (below + 0.5 * negatives)).sum(axis=-1), pairs)


def area_error(negatives: Floats, positives: Floats) -> float:
    """Return the standard error of the area of `(bins,)` counts, rows being independent.

    Never below what so few of the rarer class allow: an area of 1.0 over ten positives is not certain.

    Source: DeLong, DeLong, Clarke-Pearson, Biometrics 44, 1988, eqs. 3 to 5, on binned scores; the floor is
    the binomial error of the rarer class with one more of either outcome (Agresti, Coull, 1998).
    """
    n_positive, n_negative = float(positives.sum()), float(negatives.sum())
    if min(n_positive, n_negative) < 2:
        return float("nan")
    of_positive = (np.cumsum(negatives) - 0.5 * negatives) / n_negative
    of_negative = (n_positive - np.cumsum(positives) + 0.5 * positives) / n_positive
    found = float((positives * of_positive).sum() / n_positive)
    spread_positive = float((positives * np.square(of_positive - found)).sum() / (n_positive - 1))
    spread_negative = float((negatives * np.square(of_negative - found)).sum() / (n_negative - 1))
    fewest = min(n_positive, n_negative)
    drawn = (found * fewest + 1) / (fewest + 2)
    floor = drawn * (1 - drawn) / (3 * fewest)
    return float(np.sqrt(max(spread_positive / n_positive + spread_negative / n_negative, floor)))


def average_precision(negatives: Floats, positives: Floats) -> Floats:
    """Return the mean precision at the positives of `(…, bins)` counts, from the highest scores down.

    Within a bin precision is taken at its end, as ties are by scikit-learn.
    """
    hits = np.cumsum(positives[..., ::-1], axis=-1)
    taken = hits + np.cumsum(negatives[..., ::-1], axis=-1)
    precision = np.divide(hits, taken, out=np.zeros(hits.shape), where=taken > 0)
    return _ratio((precision * positives[..., ::-1]).sum(axis=-1), positives.sum(axis=-1))


def calibration_error(negatives: Floats, positives: Floats) -> Floats:
    """Return the expected calibration error of `(…, bins)` counts, over ten equal bins of the score.

    Source: Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015, section 3; a score is taken as the middle of its bin.
    """
    bins = negatives.shape[-1]
    middles = (np.arange(bins) + 0.5) / bins
    both = negatives + positives

    def tenths(values: Floats) -> Floats:
        summed: Floats = values.reshape(*values.shape[:-1], CALIBRATION_BINS, -1).sum(axis=-1)
        return summed

    gaps = np.abs(tenths(both * middles) - tenths(positives)).sum(axis=-1)
    return _ratio(gaps, both.sum(axis=-1))


def precision(true_positives: Floats, false_positives: Floats) -> Floats:
    """Return the share of positive predictions that are right."""
    return _ratio(true_positives, true_positives + false_positives)


def f1(true_positives: Floats, false_positives: Floats, false_negatives: Floats) -> Floats:
    """Return the harmonic mean of precision and recall; NaN where neither exists."""
    return _ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives)


def macro_f1(true_positives: Floats, false_positives: Floats, false_negatives: Floats) -> Floats:
    """Return the mean F1 over all classes that occur, from `(…, classes)` counts."""
    each = f1(true_positives, false_positives, false_negatives)
    present = np.isfinite(each)
    return _ratio(np.where(present, each, 0.0).sum(axis=-1), present.sum(axis=-1))


def _ratio(value: Floats, of: Floats) -> Floats:
    value, of = np.asarray(value, dtype=np.float64), np.asarray(of, dtype=np.float64)
    result: Floats = np.full(np.broadcast(value, of).shape, np.nan)
    return np.divide(value, of, out=result, where=of > 0)


def left_out_error(estimates: Floats) -> float:
    """Return the standard error of an estimate from `(n_groups,)` estimates that each leave out one group.

    The groups are of whole requests, so what rows of a request share is in it. NaN with fewer than eight.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, eq. 11.5; Kott, "The delete-a-group
    jackknife", Journal of Official Statistics 17, 2001.
    """
    used = estimates[np.isfinite(estimates)]
    if len(used) < 8 or len(used) < len(estimates):
        return float("nan")
    return float(np.sqrt((len(used) - 1) / len(used) * np.square(used - used.mean()).sum()))
