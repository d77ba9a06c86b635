from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from penstock.base.errors import Corrupt, Invalid
from penstock.monitoring.labels import score
from penstock.monitoring.quality import METRICS, Quality


def sample(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    labels = (rng.random(rows) < 0.3).astype(float)
    scores = 1 / (1 + np.exp(-(rng.normal(size=rows) + 0.8 * labels - 0.5)))
    return scores, labels


def test_metrics_agree_with_scikit_learn() -> None:
    scores, labels = sample(np.random.default_rng(1), 5000)
    quality = Quality.of(scores, labels)
    assert quality.roc_auc() == pytest.approx(roc_auc_score(labels, scores), abs=5e-4)
    assert quality.brier() == pytest.approx(brier_score_loss(labels, scores))
    assert quality.log_loss() == pytest.approx(log_loss(labels, scores))
    assert quality.accuracy() == np.mean((scores >= 0.5) == labels)
    assert quality.label_count == 5000


@pytest.mark.parametrize("metric", ["roc_auc", "brier", "accuracy", "log_loss"])
def test_standard_errors_are_the_spread_over_repeated_samples(metric: str) -> None:
    rng = np.random.default_rng(2)
    found = [Quality.of(*sample(rng, 400)).metric(metric) for _ in range(400)]
    spread = np.std([value for value, _ in found])
    assert np.mean([error for _, error in found]) == pytest.approx(spread, rel=0.12)


pairs = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), max_size=40)


def quality(values: list[tuple[float, float]]) -> Quality:
    return Quality.of(np.array([one for one, _ in values]), np.array([one for _, one in values]))


@given(pairs, pairs, pairs)
def test_merging_is_associative_and_equals_the_whole(a: list, b: list, c: list) -> None:
    whole = quality(a + b + c)
    left = quality(a).merge(quality(b)).merge(quality(c))
    right = quality(c).merge(quality(b).merge(quality(a)))
    for name in METRICS:
        expected = whole.metric(name)
        assert left.metric(name) == pytest.approx(expected, nan_ok=True, abs=1e-6)
        assert right.metric(name) == pytest.approx(expected, nan_ok=True, abs=1e-6)


@given(pairs)
def test_quality_survives_its_bytes(a: list) -> None:
    data = quality(a).to_bytes()
    assert Quality.from_bytes(data).to_bytes() == data


def test_one_class_alone_has_no_auc() -> None:
    assert np.isnan(Quality.of(np.array([0.2, 0.3]), np.array([0.0, 0.0])).roc_auc())
    assert np.isnan(Quality().brier())


def test_an_unknown_metric_and_foreign_bytes_are_refused() -> None:
    with pytest.raises(Invalid, match="f1"):
        Quality().metric("f1")
    with pytest.raises(Corrupt):
        Quality.from_bytes(b"\x94\x01\x92\xcd\x10\x00\x01\x90\x90")


def test_labels_decide_what_is_measured() -> None:
    outputs = {"probability": np.array([0.9, 0.2, 0.4]), "prediction": np.array([1, 0, 0])}
    binary = score(outputs, [True, None, 1])
    assert (binary.label_count, binary.accuracy()) == (2, 0.5)
    regression = score({"prediction": np.array([1.0, 4.0])}, [2, 4.0])
    assert regression.metric("mae")[0] == 0.5
    classes = np.array(["a", "b"], dtype=object)
    assert score({"prediction": classes}, ["a", "a"]).accuracy() == 0.5
    assert score({"probability": np.array([0.9])}, [1]).accuracy() == 1.0
    assert score(outputs, [None, None, None]).label_count == 0
