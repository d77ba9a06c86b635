"""The paired bootstrap keeps its confidence, and its metrics are scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from penstock.stats.metric_names import Compared
from penstock.stats.significance import METRICS, paired_bootstrap, score

PEERS: dict[Compared, Any] = {
    "roc_auc": roc_auc_score,
    "brier": brier_score_loss,
    "log_loss": log_loss,
    "accuracy": lambda labels, scores: accuracy_score(labels, scores >= 0.5),
}


@given(st.integers(0, 10**6), st.integers(2, 300), st.integers(1, 50))
@settings(max_examples=60)
def test_metrics_agree_with_scikit_learn_with_and_without_weights(seed: int, count: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count).astype(np.float64)
    labels[:2] = 0, 1
    scores = np.round(generator.random(count) * levels) / (levels + 1)
    weights = generator.integers(0, 4, count).astype(np.float64)
    weights[:2] = 1
    for name, peer in PEERS.items():
        assert score(name, labels, scores) == pytest.approx(peer(labels, scores))
    expected = roc_auc_score(labels, scores, sample_weight=weights)
    assert METRICS["roc_auc"](labels, scores)(weights) == pytest.approx(expected)


def test_the_same_seed_gives_the_same_bounds() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 500).astype(np.float64)
    one, two = generator.random(500), generator.random(500)
    found = [
        paired_bootstrap("roc_auc", labels, one, two, generator=np.random.default_rng(7), resample_count=200)
        for _ in range(2)
    ]
    assert found[0] == found[1]


def test_two_equal_models_are_rarely_told_apart() -> None:
    """Of 200 pairs with the same skill, about 5 % fall outside a 95 % interval."""
    generator = np.random.default_rng(3)
    outside = 0
    for _ in range(200):
        labels = generator.integers(0, 2, 400).astype(np.float64)
        one, two = (labels + generator.normal(0, 1, 400) for _ in range(2))
        found = paired_bootstrap("roc_auc", labels, one, two, generator=generator, resample_count=200)
        outside += not found.low <= 0 <= found.high
    assert outside <= 24


def test_lower_is_better_for_losses() -> None:
    labels = np.array([0.0, 1.0] * 200)
    good, bad = np.where(labels > 0, 0.9, 0.1), np.full(400, 0.5)
    found = paired_bootstrap(
        "brier", labels, good, bad, generator=np.random.default_rng(0), resample_count=100
    )
    assert found.low > 0


@pytest.mark.parametrize(("metric", "size"), [("brier", 20), ("brier", 100)])
def test_rows_in_groups_let_a_worse_model_pass_no_more_often_than_promised(
    metric: Compared, size: int
) -> None:
    """The candidate is truly as good; its lower bound lies above zero in about 2.5 % of held-out sets."""
    generator = np.random.default_rng(5)
    passed = {"grouped": 0, "alone": 0}
    for _ in range(150):
        groups = np.repeat(np.arange(2000 // size), size)
        labels = generator.integers(0, 2, 2000).astype(np.float64)
        one, two = (
            np.clip(0.5 + 0.2 * generator.normal(size=groups.max() + 1)[groups] + 0.2 * labels, 0, 1)
            for _ in range(2)
        )
        for name, given_groups in (("grouped", groups), ("alone", None)):
            found = paired_bootstrap(
                metric, labels, one, two, generator=generator, groups=given_groups, resample_count=200
            )
            passed[name] += found.low > 0
    assert passed["grouped"] <= 9
    assert passed["alone"] > 25


def test_few_of_the_rarer_class_make_the_interval_wider() -> None:
    generator = np.random.default_rng(6)
    above = 0
    for _ in range(150):
        labels = np.zeros(500)
        labels[:20] = 1
        one, two = (labels + generator.normal(0, 0.7, 500) for _ in range(2))
        found = paired_bootstrap("roc_auc", labels, one, two, generator=generator, resample_count=200)
        above += found.low > 0
    assert above <= 9
