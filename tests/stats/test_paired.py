"""Paired tests agree with scipy and statsmodels, and are wrong as seldom as they promise, with few positives and in groups."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, permutation_test, t, ttest_rel
from sklearn.metrics import roc_auc_score
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as peer_mcnemar
from statsmodels.stats.multitest import multipletests

from penstock.stats.paired import delong, holm, mcnemar, paired_means
from penstock.stats.quantiles import student_tail
from penstock.stats.shares import share_bounds

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from bench_champion import ALPHA, CASES, METRICS, several, simulate

RNG = np.random.default_rng(4)


def test_mcnemar_is_statsmodels_exact_one_and_the_binomial_on_one_side() -> None:
    for size, right in ((30, 0.5), (400, 0.8), (5000, 0.97)):
        ours, theirs = ((RNG.random(size) < share).astype(float) for share in (right - 0.03, right))
        found = mcnemar(ours, theirs)
        table = [[((ours == one) & (theirs == two)).sum() for two in (1, 0)] for one in (1, 0)]
        assert found.p_different == pytest.approx(peer_mcnemar(table, exact=True).pvalue)
        won, lost = int(table[0][1]), int(table[1][0])
        assert found.p_worse == pytest.approx(binomtest(won, won + lost, alternative="less").pvalue)
        assert found.numbers["only_candidate_right"] == won
        assert found.difference == pytest.approx((won - lost) / size)
    nothing = mcnemar(np.ones(50), np.ones(50))
    assert (nothing.p_worse, nothing.p_different, nothing.difference) == (1.0, 1.0, 0.0)
    assert nothing.low < 0 < nothing.high


def test_in_groups_mcnemar_is_the_exact_test_of_all_signs_of_the_groups() -> None:
    groups = np.repeat(np.arange(11), 7)
    ours, theirs = ((RNG.random(77) < share).astype(float) for share in (0.6, 0.7))
    found = mcnemar(ours, theirs, groups=groups)
    sums = np.bincount(groups, ours - theirs)
    for sides, value in (("less", found.p_worse), ("two-sided", found.p_different)):
        peer = permutation_test(
            (sums,), np.sum, permutation_type="samples", n_resamples=10_000, alternative=sides, vectorized=False
        )  # fmt: skip
        assert value == pytest.approx(peer.pvalue)
    alone = mcnemar(ours, theirs, groups=np.arange(77))
    assert alone.p_worse == pytest.approx(mcnemar(ours, theirs).p_worse)


def test_the_bounds_of_mcnemar_are_where_the_score_test_of_a_difference_ends() -> None:
    won, lost, count, width = 9, 23, 160, 1.959963984540054
    ours = np.concatenate([np.ones(won), np.zeros(lost), np.ones(count - won - lost)])
    theirs = np.concatenate([np.zeros(won), np.ones(lost), np.ones(count - won - lost)])
    found = mcnemar(ours, theirs)
    for bound, side in ((found.low, 1), (found.high, -1)):

        def cost(share: float, bound: float = bound) -> float:
            both = 1 - 2 * share - bound
            if min(share, share + bound, both) <= 0:
                return math.inf
            return -(
                won * math.log(share + bound) + lost * math.log(share) + (count - won - lost) * math.log(both)
            )

        floor = max(0.0, -bound)
        share = minimize_scalar(
            cost, bounds=(floor, (1 - bound) / 2), method="bounded", options={"xatol": 1e-12}
        ).x
        error = math.sqrt(count * (2 * share + bound - bound**2))
        assert (won - lost - count * bound) / error == pytest.approx(side * width, abs=1e-4)


def test_delong_has_the_areas_of_scikit_learn_and_the_error_of_the_definition() -> None:
    for positives, levels in ((0.5, 1000), (0.02, 1000), (0.2, 6)):
        labels = (RNG.random(1500) < positives).astype(float)
        both = RNG.normal(size=1500)
        scores = [np.round((labels + both + RNG.normal(size=1500)) * levels) for _ in range(2)]
        found = delong(labels, *scores)
        assert found.candidate == pytest.approx(roc_auc_score(labels, scores[0]))
        assert found.baseline == pytest.approx(roc_auc_score(labels, scores[1]))
        kernel = [
            (one[labels > 0.5][:, None] > one[labels < 0.5]) + 0.5 * (one[labels > 0.5][:, None] == one[labels < 0.5])
            for one in scores
        ]  # fmt: skip
        spread = [
            np.cov([one.mean(axis=axis) for one in kernel]) / kernel[0].shape[1 - axis] for axis in (1, 0)
        ]
        contrast = np.array([1, -1])
        error = math.sqrt(contrast @ (spread[0] + spread[1]) @ contrast)
        assert found.numbers["standard_error"] == pytest.approx(error)
        degrees = int(min(labels.sum(), (1 - labels).sum())) - 1
        assert found.p_worse == pytest.approx(t.cdf(found.difference / error, degrees))
        single = delong(labels, *scores, groups=np.arange(1500))
        assert single.low == pytest.approx(found.low)


def test_the_error_of_delong_in_groups_is_that_of_leaving_out_one_group_after_the_other() -> None:
    groups = np.repeat(np.arange(150), 20)
    shared = RNG.normal(size=150)[groups]
    labels = (shared + RNG.normal(size=3000) > 1).astype(float)
    others = RNG.normal(size=150)[groups]
    scores = [labels + one + RNG.normal(size=3000) / 2 for one in (shared, others)]
    found = delong(labels, *scores, groups=groups)
    rest = np.array(
        [np.diff([roc_auc_score(labels[groups != one], s[groups != one]) for s in scores]) for one in range(150)]
    )  # fmt: skip
    left_out = math.sqrt(149 / 150 * float(((rest - rest.mean()) ** 2).sum()))
    assert found.numbers["standard_error"] == pytest.approx(left_out, rel=0.03)
    assert found.numbers["standard_error"] > 1.5 * delong(labels, *scores).numbers["standard_error"]


def test_paired_means_are_scipys_t_test_and_statsmodels_clustered_regression() -> None:
    ours, theirs = RNG.gamma(2, size=(2, 600))
    found = paired_means(ours, theirs)
    assert found.p_different == pytest.approx(ttest_rel(theirs, ours).pvalue)
    assert found.p_worse == pytest.approx(ttest_rel(theirs, ours, alternative="less").pvalue)
    groups = np.repeat(np.arange(30), 20)
    apart = RNG.normal(size=30)[groups] * 0.3
    found = paired_means(ours + apart, theirs, groups=groups)
    model = OLS(theirs - ours - apart, np.ones(600)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "df_correction": True}, use_t=True
    )
    # statsmodels also corrects for one regressor of 600 rows: (n - 1) / (n - 1)
    assert found.numbers["standard_error"] == pytest.approx(model.bse[0])
    assert (found.low, found.high) == pytest.approx(tuple(model.conf_int()[0]))


def test_holm_is_statsmodels_and_the_tail_is_scipys() -> None:
    for _ in range(20):
        chances = RNG.random(5) ** 3
        given = {str(index): float(one) for index, one in enumerate(chances)}
        assert list(holm(given).values()) == pytest.approx(multipletests(chances, method="holm")[1])
    for value in (-3.0, 0.0, 0.4, 5.0):
        for degrees in (1, 9, 5000):
            assert student_tail(value, degrees) == pytest.approx(t.sf(value, degrees), rel=1e-8)


def test_models_that_order_every_row_alike_are_not_told_apart_without_doubt() -> None:
    labels = np.repeat([0.0, 1.0], [480, 20])
    found = delong(labels, labels + 0.1, labels * 2)
    assert found.difference == 0
    assert found.p_worse == pytest.approx(0.5)
    assert found.low < -0.05


def test_each_mode_is_wrong_in_no_more_sets_than_it_promises() -> None:
    """At alpha 0.05 in 150 sets: more than 15 would come by chance once in 1,000 times. The long form is the benchmark."""
    cases = {one.name: one for one in CASES}
    rng = np.random.default_rng(8)
    most = 15 / 150
    for name, metric in (
        ("few rows", "accuracy"), ("2 % positives", "roc_auc"), ("2 % positives", "accuracy"),
        ("groups of 20", "accuracy"), ("groups of 20", "brier"), ("2 % positives in groups of 20", "roc_auc"),
    ):  # fmt: skip
        found = simulate(rng, cases[name], metric, 0.05, 150)
        assert found["not_worse_refuses_equal"] <= most, (name, metric)
        assert found["non_inferior_passes_worse_by_margin"] <= most, (name, metric)
        assert found["not_worse_refuses_worse_by_margin"] > 0.2, (name, metric)
    together = several(rng, cases["groups of 20"], 150)
    assert together["not_worse_refuses_equal"] <= most < together["without_holm"]
    # the same rows taken as alone promise too much: groups are what keeps the promise
    case = cases["groups of 20"]._replace(group=1)
    grouped = cases["groups of 20"]
    false = 0
    for _ in range(150):
        with_groups = METRICS["brier"](rng, grouped, 0.0)
        assert with_groups.group_count == 100
        ours, theirs = (0.15 * one for one in RNG.normal(size=(2, 100)))
        rows = np.repeat(np.arange(100), 20)
        false += paired_means(ours[rows], theirs[rows]).p_worse < ALPHA
    assert false > 30
    assert case.groups is None


def test_the_bounds_of_a_share_are_scipys_exact_ones() -> None:
    for count, of in ((0, 10), (3, 100), (60, 60), (200, 1000)):
        peer = binomtest(count, of).proportion_ci(method="exact")
        assert share_bounds(count, of) == pytest.approx((peer.low, peer.high))
    assert share_bounds(0, 0) == (0.0, 1.0)
