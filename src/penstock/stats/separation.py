"""Whether two samples of rows can be told apart: a domain classifier of second order, cross-validated.

A linear classifier on the columns, their squares and their products sees what one column at a time does not: two
columns that each look as before, and no longer move together. It is ridge regression on which sample a row is of,
with the terms chosen anew in each fold, so a fold's rows have no say in the classifier that scores them. What differs
only in three columns at once is not seen.

Source:
    Lopez-Paz, Oquab, "Revisiting classifier two-sample tests", ICLR 2017 (the test); LeDell, Petersen, van der Laan,
    "Computationally efficient confidence intervals for cross-validated area under the ROC curve estimates", Electronic
    Journal of Statistics 9, 2015, eq. 10 (the error of an area that is the mean of folds); Obuchowski, "Nonparametric
    analysis of clustered ROC curve data", Biometrics 53, 1997 (rows that come in groups); Breiman, "Random forests",
    2001, section 10 (importance by permutation).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FOLDS = 5
TERMS_MAX, TERMS_MIN = 120, 3
"""Terms that a classifier has at most and at least: those in which the samples differ most."""
DIFFERS = 2.5
"""Standard errors by which the samples must differ in a term. With all terms a shift of half a standard deviation in one
of 20 columns gave an area of 0.58 over 500 rows, with these 0.62 of the 0.64 that there is."""
RIDGE = 0.1
"""Weight of the penalty, as a share of the rows."""
ERROR_FACTOR = 1.6
"""Classifiers of folds share most of their rows, so that areas of samples without a difference spread more widely than
rows that are independent would; measured: 1.5 times, from 200 rows to 2,000."""
ASKED_MAX = 10
"""Columns whose part in telling the samples apart is measured at most: those with the largest weights."""


@dataclass(frozen=True)
class Separation:
    """How well the second sample is told from the first: 0.5 not at all, 1.0 always.

    `error` is the standard error of `area`. `parts` are what the area loses when one column's values are mixed up among
    the rows, by the column's place; only columns that matter are in it, the one that matters most first. `scores` are
    how much each row looks like one of the second sample, as its rank among the rows of its fold, in (0, 1).
    """

    area: float
    error: float
    parts: tuple[tuple[int, float], ...]
    scores: Floats


@dataclass(frozen=True)
class _Rows:
    """Rows as numbers: `values` `(n, n_terms)`, each made of the column `owners` names, all standardised or 0 and 1."""

    values: Floats
    owners: Ints


def midranks(values: Floats) -> Floats:
    """Return the rank of each value from 1; those that are equal share their mean rank.

    Example:
        >>> midranks(np.array([5.0, 1.0, 5.0])).tolist()
        [2.5, 1.0, 2.5]
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Floats = (last - (counts - 1) / 2)[places]
    return found


def scores_of(values: Floats) -> Floats:
    """Return numbers as normal scores of their mid-ranks, so that no tail decides; NaN where they are missing.

    Example:
        >>> scores_of(np.array([1.0, 2.0, 1000.0])).round(2).tolist()
        [-0.97, 0.0, 0.97]
    """
    found = np.full(len(values), np.nan)
    present = np.isfinite(values)
    count = int(present.sum())
    if count:
        found[present] = _normal_quantiles((midranks(values[present]) - 0.5) / count)
    return found


def _normal_quantiles(ranks: Floats) -> Floats:
    """Return the normal quantile of each rank in (0, 1), within 0.0001, and at most 5 to each side."""
    points, below = _normal_curve()
    found: Floats = np.interp(ranks, below, points)
    return found


@functools.cache
def _normal_curve() -> tuple[Floats, Floats]:
    points = np.linspace(-5.0, 5.0, 2001)
    return points, np.array([math.erfc(-one / math.sqrt(2)) / 2 for one in points.tolist()])


def separate(
    columns: list[Floats],
    owners: list[int],
    is_second: npt.NDArray[np.bool_],
    groups: Ints,
    seed: int = 0,
    *,
    tells_parts: bool = True,
) -> Separation | None:
    """Tell two samples apart by their columns; None where one has rows of fewer than two groups a fold.

    Args:
        columns: of all rows of both, `(n,)` each, without NaN; centred about, with a spread of about 1.
        owners: which feature each is made of; products are of two different ones.
        is_second: `(n,)` which rows are of the second sample.
        groups: `(n,)` rows of one group stay together and count together.
        seed: of the order in which groups go to folds, and of the permutations.
        tells_parts: whether it is asked which features tell them apart, which is half of the cost.

    Cost: 3,000 rows of 20 columns take 150 ms.
    """
    generator = np.random.default_rng(seed)
    folds = _folds(groups, is_second, generator)
    if folds is None:
        return None
    rows = _Rows(np.stack(columns, axis=1), np.asarray(owners, dtype=np.int64))
    areas, influence, scores = [], np.zeros(len(is_second)), np.zeros(len(is_second))
    lost: dict[int, list[float]] = {}
    asked: list[int] | None = None
    for fold in range(FOLDS):
        test, train = folds == fold, folds != fold
        terms = _choose(rows, train, is_second)
        weights = _fit(_design(rows, terms, train), is_second[train])
        design = _design(rows, terms, test)
        found, parts = _area(design @ weights, is_second[test])
        areas.append(found)
        scores[test] = (midranks(design @ weights) - 0.5) / test.sum()
        influence[test] = parts
        if asked is None:
            asked = _heaviest(rows, terms, weights) if tells_parts else []
        mixed = generator.permutation(int(test.sum()))
        for owner in asked:
            values = rows.values[test]
            own = rows.owners == owner
            values[:, own] = values[np.ix_(mixed, own)]
            without, _ = _area(_product(values, terms) @ weights, is_second[test])
            lost.setdefault(owner, []).append(found - without)
    area = float(np.mean(areas))
    told = sorted(((owner, float(np.mean(by))) for owner, by in lost.items()), key=lambda one: -one[1])
    return Separation(area, _error(influence, is_second, groups, area), tuple(told), scores)


def _folds(groups: Ints, is_second: npt.NDArray[np.bool_], generator: np.random.Generator) -> Ints | None:
    """Return the fold of each row: the groups of each sample spread evenly, or None with too few of them."""
    folds = np.empty(len(groups), dtype=np.int64)
    for side in (False, True):
        mine = is_second == side
        names, places = np.unique(groups[mine], return_inverse=True)
        if len(names) < 2 * FOLDS:
            return None
        folds[mine] = (generator.permutation(len(names)) % FOLDS)[places]
    return folds


def _choose(rows: _Rows, train: npt.NDArray[np.bool_], is_second: npt.NDArray[np.bool_]) -> Ints:
    """Return the terms that differ most between the samples, `(n_terms, 2)`: places of columns, the second -1 for none."""
    first, second = rows.values[train & ~is_second], rows.values[train & is_second]
    single = np.abs(_contrast(first, second))
    pairs = np.abs(_product_contrast(first, second))
    upper = np.triu(np.ones(pairs.shape, dtype=np.bool_))
    # a column's square is a term, the product of two columns of the same feature is none
    upper &= (rows.owners[:, None] != rows.owners[None, :]) | np.eye(len(rows.owners), dtype=np.bool_)
    found = np.concatenate([single, np.where(upper, pairs, -1.0).ravel()])
    best = np.argsort(-found, kind="stable")[:TERMS_MAX]
    enough = found[best] > DIFFERS
    enough[:TERMS_MIN] |= found[best][:TERMS_MIN] >= 0
    best = best[enough]
    count = len(single)
    left = np.where(best < count, best, (best - count) // count)
    right = np.where(best < count, -1, (best - count) % count)
    return np.stack([left, right], axis=1).astype(np.int64)


def _contrast(first: Floats, second: Floats) -> Floats:
    """Return the difference of means over its standard error, by column."""
    variance = first.var(axis=0) / len(first) + second.var(axis=0) / len(second)
    found: Floats = (second.mean(axis=0) - first.mean(axis=0)) / np.sqrt(variance + 1e-12)
    return found


def _product_contrast(first: Floats, second: Floats) -> Floats:
    """Return the same of the products of all pairs of columns."""
    means, variances = [], []
    for part in (first, second):
        mean = part.T @ part / len(part)
        square = np.square(part)
        means.append(mean)
        variances.append(np.maximum(square.T @ square / len(part) - np.square(mean), 0.0) / len(part))
    found: Floats = (means[1] - means[0]) / np.sqrt(variances[0] + variances[1] + 1e-12)
    return found


def _design(rows: _Rows, terms: Ints, chosen: npt.NDArray[np.bool_]) -> Floats:
    return _product(rows.values[chosen], terms)


def _product(values: Floats, terms: Ints) -> Floats:
    found = values[:, terms[:, 0]]
    pair = terms[:, 1] >= 0
    found[:, pair] *= values[:, terms[pair, 1]]
    return found


def _fit(design: Floats, is_second: npt.NDArray[np.bool_]) -> Floats:
    """Return the weights of the terms: both samples count as much, however many rows each has."""
    count = len(is_second)
    weight = np.where(is_second, 0.5 / is_second.sum(), 0.5 / (~is_second).sum())
    centred = design - weight @ design
    scale = np.sqrt(weight @ np.square(centred)) + 1e-9
    centred /= scale
    matrix = (centred * weight[:, None]).T @ centred
    target = np.where(is_second, 1.0, -1.0)
    penalty = RIDGE + len(scale) / count
    right = centred.T @ (weight * target)
    solved: Floats = np.linalg.solve(matrix + penalty * np.eye(len(scale)), right) / scale
    return solved


def _area(scores: Floats, is_second: npt.NDArray[np.bool_]) -> tuple[float, Floats]:
    """Return the area, ties by half, and how far each row's part of it is from it, over its sample's rows."""
    ranks = midranks(scores)
    n_second, n_first = int(is_second.sum()), int((~is_second).sum())
    within = np.empty(len(scores))
    within[is_second] = midranks(scores[is_second])
    within[~is_second] = midranks(scores[~is_second])
    below = ranks - within  # of the other sample, ties by half
    parts = np.where(is_second, below / n_first, 1 - below / n_second)
    area = float(parts[is_second].mean())
    return area, parts - area


def _error(influence: Floats, is_second: npt.NDArray[np.bool_], groups: Ints, area: float) -> float:
    """Return the standard error: of groups that are independent, and never below the binomial one of the fewer rows."""
    variance, fewest = 0.0, np.inf
    for side in (False, True):
        mine = is_second == side
        _, places = np.unique(groups[mine], return_inverse=True)
        sums = np.bincount(places, influence[mine])
        variance += float(np.square(sums).sum()) / int(mine.sum()) ** 2 * len(sums) / (len(sums) - 1)
        fewest = min(fewest, len(sums))
    drawn = (area * fewest + 1) / (fewest + 2)
    return ERROR_FACTOR * float(np.sqrt(max(variance, drawn * (1 - drawn) / (3 * fewest))))


def _heaviest(rows: _Rows, terms: Ints, weights: Floats) -> list[int]:
    """Return the features with the most weight in the classifier, in the order of their weight."""
    spread = np.abs(weights) * _product(rows.values, terms).std(axis=0)
    total = np.zeros(int(rows.owners.max()) + 1)
    np.add.at(total, rows.owners[terms[:, 0]], spread)
    pair = (terms[:, 1] >= 0) & (terms[:, 0] != terms[:, 1])
    np.add.at(total, rows.owners[terms[pair, 1]], spread[pair])
    return [int(one) for one in np.argsort(-total, kind="stable")[:ASKED_MAX] if total[one] > 0]
