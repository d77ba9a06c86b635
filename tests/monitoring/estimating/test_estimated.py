"""Quality without labels: as the labels then say, where probabilities are calibrated; and told where they are not."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from penstock.monitoring.estimating.estimated import estimate
from penstock.monitoring.profile import Profile
from penstock.monitoring.quality.measures import Quality
from penstock.stats.estimation import estimate_performance

Floats = npt.NDArray[np.float64]
METRICS = {
    "accuracy": lambda truth, p: accuracy_score(truth, p >= 0.5),
    "roc_auc": roc_auc_score,
    "brier": brier_score_loss,
    "log_loss": log_loss,
}


def outputs(scores: Floats) -> Profile:
    profile = Profile()
    profile.update({"probability": scores})
    return profile


def test_the_estimate_is_what_the_labels_say_within_its_error_if_probabilities_are_calibrated() -> None:
    rng = np.random.default_rng(4)
    beyond = looked = 0
    for a, b in ((1, 1), (2, 5), (0.5, 0.5), (0.3, 3)):
        for count in (500, 4_000):
            for _ in range(25):
                scores = rng.beta(a, b, count)
                truth = rng.random(count) < scores
                if truth.all() or not truth.any():
                    continue
                found = estimate_performance(scores, np.ones(count))
                for name, metric in METRICS.items():
                    value, error = found[name]
                    looked, beyond = looked + 1, beyond + (abs(value - metric(truth, scores)) > 2.576 * error)
    assert looked > 700
    assert beyond / looked < 0.025, "nominal: 1 %"


def test_a_window_s_sketch_tells_the_same_as_its_rows() -> None:
    rng = np.random.default_rng(5)
    for scores in (rng.beta(2, 5, 20_000), rng.choice([0.1, 0.4, 0.9], 5_000), np.full(1_000, 0.7)):
        exact, found = estimate_performance(scores, np.ones(len(scores))), estimate(outputs(scores))
        assert found is not None
        assert found.row_count == len(scores)
        for name, (value, _) in found.metrics.items():
            assert value == pytest.approx(exact[name][0], abs=0.01), name


def test_labels_say_whether_the_probabilities_are_calibrated_and_how_far_the_estimate_was_off() -> None:
    rng = np.random.default_rng(6)
    scores = rng.beta(2, 2, 4_000)
    window = outputs(rng.beta(2, 2, 3_000))
    unchecked = estimate(window)
    few = estimate(window, Quality.of(scores[:50], (rng.random(50) < scores[:50]).astype(float)))
    good = estimate(window, Quality.of(scores, (rng.random(4_000) < scores).astype(float)))
    turned = estimate(window, Quality.of(scores, (rng.random(4_000) < 1 - scores).astype(float)))
    assert unchecked and few and good and turned
    assert [one.calibration for one in (unchecked, few, good, turned)] == [
        "unchecked",
        "unchecked",
        "good",
        "off",
    ]
    assert unchecked.gaps == few.gaps == {}
    assert all(abs(gap) < 0.03 for gap in good.gaps.values()), good.gaps
    assert turned.gaps["accuracy"] > 0.3
    assert "too few labels" in unchecked.sentence
    assert "are calibrated within" in good.sentence
    assert "not to be trusted" in turned.sentence
    assert "accuracy by +0." in turned.sentence


def test_where_there_are_no_probabilities_of_two_classes_nothing_is_estimated() -> None:
    profile = Profile()
    profile.update({"prediction": np.arange(1_000.0)})
    assert estimate(profile) is None
    assert estimate(outputs(np.full(50, 0.5))) is None
    assert estimate(outputs(np.linspace(-1, 2, 500))) is None
    assert estimate_performance(np.array([0.5]), np.zeros(1)) == {}
    sure = estimate_performance(np.array([1.0]), np.array([10.0]))
    assert sure["accuracy"] == (1.0, 0.0)
    assert math.isnan(sure["roc_auc"][0])
