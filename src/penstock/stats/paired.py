"""Whether one model is worse than another on the same rows, without resampling: McNemar, DeLong, Student.

Each test takes rows as alone, or in groups that belong together (a customer's, a day's). It answers how sure it is
that the candidate is worse, and bounds of the difference. The paired bootstrap is in `penstock.stats.significance`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from penstock.stats.quantiles import student_quantile, student_tail

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class PairedTest:
    """Candidate minus baseline, oriented so that positive is better, and the evidence that it is below zero.

    Attributes:
        low: with `high` bounds of the difference at confidence 1 - alpha; alone a bound at 1 - alpha / 2.
        p_worse: how likely so bad a candidate is, were both equally good (one-sided).
        p_different: how likely so large a difference is in either direction.
        numbers: counts that the test rests on, by name.
    """

    test: str
    candidate: float
    baseline: float
    difference: float
    low: float
    high: float
    p_worse: float
    p_different: float
    row_count: int
    group_count: int
    numbers: Mapping[str, float]


def mcnemar(
    candidate: Floats, baseline: Floats, *, groups: Numbers | None = None, alpha: float = 0.05
) -> PairedTest:
    """Compare two shares of right answers by the rows that only one of two models has right.

    The p values are exact: given how much they differ, each row, or group of rows, was as likely the other way round.
    The bounds are Tango's, of as many rows as the groups are worth.

    Args:
        candidate: (n,) 1 where the candidate is right, else 0.
        baseline: (n,) the same of the baseline.
        groups: (n,) the number of each row's group, from 0 on; by default each row is one.
        alpha: 1 - the confidence of the bounds.

    Source: McNemar, Psychometrika 12 (1947), exact by the binomial; groups: all signs of the groups' differences
    (Fisher's randomisation test), which for single rows is McNemar's; Tango, Statistics in Medicine 17 (1998), eq. 11,
    after dividing by the design effect of Rao, Scott, Biometrics 48 (1992).

    Example:
        >>> found = mcnemar(np.array([1.0] * 3 + [0.0] * 7), np.array([0.0] * 3 + [1.0] * 7))
        >>> round(found.p_different, 3), round(found.p_worse, 3)
        (0.344, 0.172)
    """
    each = candidate - baseline
    count = len(each)
    sums: Floats = each if groups is None else np.bincount(groups, each).astype(np.float64)
    sizes: Floats = np.ones(count) if groups is None else np.bincount(groups).astype(np.float64)
    worse, different = _flips(sums)
    won, lost = float((each > 0).sum()), float((each < 0).sum())
    difference = float(each.mean())
    if groups is None:
        effect, width = 1.0, NormalDist().inv_cdf(1 - alpha / 2)
    else:
        effect, width = _design_effect(each, sums, sizes), student_quantile(max(len(sums) - 1, 1), alpha)
    low, high = _tango(won / effect, lost / effect, count / effect, width)
    return PairedTest(
        "mcnemar", float(candidate.mean()), float(baseline.mean()), difference, low, high, worse, different,
        count, len(sums), {"only_candidate_right": won, "only_champion_right": lost, "design_effect": effect},
    )  # fmt: skip


def delong(
    labels: Floats,
    candidate: Floats,
    baseline: Floats,
    *,
    groups: Numbers | None = None,
    alpha: float = 0.05,
) -> PairedTest:
    """Compare two areas under the ROC curve of the same rows.

    With the quantiles of Student's law for as many rows, or groups, as the rarer class has; where both models
    order all rows alike, the error is that of one row of the rarer class ordered otherwise among two more.

    Args:
        labels: (n,) 0 or 1, at least two of each.
        candidate: (n,) any order-preserving score, no NaN.
        baseline: (n,) the same of the baseline.
        groups: (n,) the number of each row's group, from 0 on; by default each row is one.
        alpha: 1 - the confidence of the bounds.

    Cost: O(n log n).

    Source: DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988), eqs. 3 to 5; Obuchowski, Biometrics 53 (1997),
    eqs. 4 to 7, for groups, which is DeLong's for single rows.
    """
    is_positive = labels > 0.5
    parts = [_components(is_positive, scores) for scores in (candidate, baseline)]
    areas = [float(of_positive.mean()) for of_positive, _ in parts]
    difference = areas[0] - areas[1]
    of_positive, of_negative = parts[0][0] - parts[1][0], parts[0][1] - parts[1][1]
    numbers = np.arange(len(labels)) if groups is None else groups
    group_count = int(numbers.max()) + 1
    positive, negative = numbers[is_positive], numbers[~is_positive]
    m, n = len(positive), len(negative)
    with_positive, with_negative = len(np.unique(positive)), len(np.unique(negative))
    first = np.bincount(positive, of_positive - difference, group_count)
    second = np.bincount(negative, of_negative - difference, group_count)
    variance = (
        with_positive / max(with_positive - 1, 1) * float((first**2).sum()) / m**2
        + with_negative / max(with_negative - 1, 1) * float((second**2).sum()) / n**2
        + 2 * group_count / max(group_count - 1, 1) * float((first * second).sum()) / (m * n)
    )
    fewest = min(with_positive, with_negative)
    if variance <= 1e-16:  # rounding of areas that are the same in every row
        drawn = 1 / (fewest + 2)
        variance = drawn * (1 - drawn) / fewest
    return _by_student(
        "delong", (areas[0], areas[1]), difference, math.sqrt(variance), fewest - 1, alpha,
        (len(labels), group_count), {"positives": m, "negatives": n, "standard_error": math.sqrt(variance)},
    )  # fmt: skip


def paired_means(
    candidate: Floats, baseline: Floats, *, groups: Numbers | None = None, alpha: float = 0.05
) -> PairedTest:
    """Compare two mean losses, of which the lower is better, by Student's t of the differences.

    Args:
        candidate: (n,) the candidate's loss on each row.
        baseline: (n,) the baseline's.
        groups: (n,) the number of each row's group, from 0 on; by default each row is one.
        alpha: 1 - the confidence of the bounds.

    Source: Student, Biometrika 6 (1908); Liang, Zeger, Biometrika 73 (1986), the robust error, for groups.
    """
    each = baseline - candidate
    count, difference = len(each), float(each.mean())
    rest = each - difference
    sums = rest if groups is None else np.bincount(groups, rest)
    group_count = len(sums)
    error = math.sqrt(group_count / max(group_count - 1, 1) * float((sums**2).sum())) / count
    return _by_student(
        "paired_t", (float(candidate.mean()), float(baseline.mean())), difference, error, group_count - 1,
        alpha, (count, group_count), {"standard_error": error},
    )  # fmt: skip


def holm(chances: Mapping[str, float]) -> dict[str, float]:
    """Return p values of several tests so adjusted that each may be held against one error rate for all of them.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    Example:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
        {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    adjusted, most = {}, 0.0
    for index, (name, chance) in enumerate(sorted(chances.items(), key=lambda one: one[1])):
        most = max(most, min(1.0, chance * (len(chances) - index)))
        adjusted[name] = most
    return {name: adjusted[name] for name in chances}


def _by_student(
    test: str,
    scores: tuple[float, float],
    difference: float,
    error: float,
    degrees: int,
    alpha: float,
    counts: tuple[int, int],
    numbers: Mapping[str, float],
) -> PairedTest:
    degrees = max(degrees, 1)
    width = student_quantile(degrees, alpha) * error
    if error > 0:
        worse = 1 - student_tail(difference / error, degrees)
    else:
        worse = 0.5 if difference == 0 else float(difference > 0)
    return PairedTest(
        test, *scores, difference, difference - width, difference + width,
        worse, min(1.0, 2 * min(worse, 1 - worse)), *counts, numbers,
    )  # fmt: skip


def _components(is_positive: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Return of each positive the share of negatives below it, of each negative that of positives above; ties half."""
    of = scores[is_positive]
    others = scores[~is_positive]
    ordered, turned = np.sort(others), np.sort(of)
    below = np.searchsorted(ordered, of, "left") + np.searchsorted(ordered, of, "right")
    up_to = np.searchsorted(turned, others, "left") + np.searchsorted(turned, others, "right")
    return below / (2 * len(others)), 1 - up_to / (2 * len(of))


def _flips(sums: Floats) -> tuple[float, float]:
    """Return how likely so low a sum is, and so far from zero a sum, when each sign is as likely the other way.

    The sums are whole numbers. Those of one size make a binomial count; counts of several sizes are added up.
    """
    sizes, counts = np.unique(np.abs(np.rint(sums)).astype(np.int64), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        if size == 0:
            continue
        spaced = np.zeros(size * count + 1)
        spaced[::size] = _binomial(count)
        chances = np.convolve(chances, spaced)
    total = len(chances) - 1
    # a place in `chances` is how much lies with plus signs: the sum is twice that, minus all
    at = round((float(sums.sum()) + total) / 2)
    worse = float(chances[: at + 1].sum())
    better = float(chances[at:].sum())
    return min(1.0, worse), min(1.0, 2 * min(worse, better))


def _binomial(count: int) -> Floats:
    """Return the chances of 0 to `count` heads."""
    most = math.lgamma(count + 1) - count * math.log(2)
    found = [math.exp(most - math.lgamma(one + 1) - math.lgamma(count - one + 1)) for one in range(count + 1)]
    return np.array(found)


def _design_effect(each: Floats, sums: Floats, sizes: Floats) -> float:
    """Return how many rows in groups are worth one row alone, at least 1; all of a group where no row differs."""
    count, group_count = len(each), len(sums)
    alone = float(((each - each.mean()) ** 2).sum()) / count**2
    if alone == 0:
        return count / group_count
    rest = sums - sizes * each.mean()
    together = group_count / max(group_count - 1, 1) * float((rest**2).sum()) / count**2
    return max(1.0, together / alone)


def _tango(won: float, lost: float, count: float, width: float) -> tuple[float, float]:
    """Return the differences that lie no more than `width` standard errors off, by the score test."""

    def distance(difference: float) -> float:
        a = 2 * count
        b = -won - lost + (2 * count - won + lost) * difference
        c = -lost * difference * (1 - difference)
        share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = count * (2 * share + difference * (1 - difference))
        off = won - lost - count * difference
        if variance <= 0:
            return 0.0 if off == 0 else math.copysign(math.inf, off)
        return off / math.sqrt(variance)

    middle = (won - lost) / count
    return _cross(distance, middle, width), -_cross(lambda one: -distance(-one), -middle, width)


def _cross(distance: Callable[[float], float], high: float, width: float) -> float:
    """Return where `distance`, which falls from -1 to `high`, is `width`."""
    low = -1.0
    for _ in range(60):
        middle = (low + high) / 2
        if distance(middle) > width:
            low = middle
        else:
            high = middle
    return low
