"""What a row costs is the same for a gate, for live traffic and for an estimate."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from sklearn.metrics import log_loss

from penstock.monitoring.quality.measures import MEANS, Quality
from penstock.stats.estimation import estimate_performance
from penstock.stats.losses import LOSSES
from penstock.stats.metric_names import LOWER_IS_BETTER, METRICS, Compared
from penstock.stats.significance import METRICS as COMPARED
from penstock.stats.significance import score

LABELS = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
SCORES = np.array([0.0, 1.0, 1.0, 0.2, 0.7])
"""Two rows are sure and wrong."""


def test_gates_and_live_traffic_tell_the_same_loss_also_of_rows_that_are_sure_and_wrong() -> None:
    live = Quality.of(SCORES, LABELS)
    for metric in set(COMPARED) & set(MEANS) - {"mae"}:
        assert live.value(metric) == pytest.approx(score(metric, LABELS, SCORES)), metric
    assert live.value("log_loss") == pytest.approx(log_loss(LABELS, SCORES))


def test_two_classes_cost_the_same_told_as_one_probability_or_as_two() -> None:
    quality = Quality()
    quality.add_probabilities(np.stack([1 - SCORES, SCORES], axis=1), LABELS.astype(int).tolist())
    assert quality.value("log_loss") == pytest.approx(Quality.of(SCORES, LABELS).value("log_loss"))


def test_what_is_expected_of_a_sure_probability_is_no_loss() -> None:
    found = estimate_performance(np.array([0.0, 1.0]), np.array([10.0, 10.0]))
    assert found["log_loss"][0] == pytest.approx(0.0, abs=1e-12)


def test_every_name_is_computed_and_its_direction_is_that_of_what_is_better() -> None:
    assert set(get_args(Compared)) == set(COMPARED) <= METRICS
    assert set(LOSSES) <= set(COMPARED)
    assert LOWER_IS_BETTER <= METRICS
    rng = np.random.default_rng(3)
    labels = (rng.random(400) < 0.4).astype(float)
    good, poor = (np.clip(labels + rng.normal(0, spread, 400), 0.01, 0.99) for spread in (0.3, 0.8))
    for metric in sorted(COMPARED):
        gain = score(metric, labels, good) - score(metric, labels, poor)
        assert (gain < 0) == (metric in LOWER_IS_BETTER), metric
    both = [told_of(labels, scores) for scores in (good, poor)]
    for name in sorted(METRICS):
        better, worse = (one.value(name) for one in both)
        assert (better < worse) == (name in LOWER_IS_BETTER), name


def test_a_name_that_nothing_computes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.monitoring.quality.measures.METRICS", METRICS | {"hinge"})
    with pytest.raises(LookupError, match="hinge"):
        told_of(LABELS, SCORES).value("hinge")


def told_of(labels: np.ndarray, scores: np.ndarray) -> Quality:
    """Return the quality of scores as classes and as numbers."""
    quality = Quality.of(scores, labels)
    quality.add_values(scores + 1, labels + 1)
    return quality
