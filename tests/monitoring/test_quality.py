from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from penstock.base.errors import Corrupt, Invalid
from penstock.monitoring.quality.labels import score
from penstock.monitoring.quality.measures import Quality
from penstock.stats.metric_names import METRICS


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
    assert 0.95 < np.mean([error for _, error in found]) / spread < 1.35


pairs = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), max_size=40)


def quality(values: list[tuple[float, float]]) -> Quality:
    return Quality.of(np.array([one for one, _ in values]), np.array([one for _, one in values]))


@given(pairs, pairs, pairs)
def test_merging_is_associative_and_equals_the_whole(a: list[Any], b: list[Any], c: list[Any]) -> None:
    whole = quality(a + b + c)
    left = quality(a).merge(quality(b)).merge(quality(c))
    right = quality(c).merge(quality(b).merge(quality(a)))
    for name in METRICS:
        assert left.metric(name)[0] == pytest.approx(whole.metric(name)[0], nan_ok=True, abs=1e-6)
        assert right.metric(name) == pytest.approx(left.metric(name), nan_ok=True, abs=1e-6)


@given(pairs)
def test_quality_survives_its_bytes(a: list) -> None:
    data = quality(a).to_bytes()
    assert Quality.from_bytes(data).to_bytes() == data


def test_one_class_alone_has_no_auc() -> None:
    assert np.isnan(Quality.of(np.array([0.2, 0.3]), np.array([0.0, 0.0])).roc_auc())
    assert np.isnan(Quality().brier())


def test_an_unknown_metric_and_foreign_bytes_are_refused() -> None:
    with pytest.raises(Invalid, match="gini"):
        Quality().metric("gini")
    with pytest.raises(Corrupt):
        Quality.from_bytes(b"\x94\x01\x92\xcd\x10\x00\x01\x90\x90")


def test_metrics_of_classes_and_numbers_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    scores, labels = sample(rng, 3000)
    binary = Quality.of(scores, labels)
    guess = scores >= 0.5
    assert binary.metric("precision")[0] == pytest.approx(metrics.precision_score(labels, guess))
    assert binary.metric("recall")[0] == pytest.approx(metrics.recall_score(labels, guess))
    assert binary.metric("f1")[0] == pytest.approx(metrics.f1_score(labels, guess))
    assert binary.metric("average_precision")[0] == pytest.approx(
        metrics.average_precision_score(labels, scores), abs=2e-3
    )
    bins = np.minimum((scores * 10).astype(int), 9)
    gaps = [abs((scores - labels)[bins == one].sum()) for one in range(10)]
    assert binary.metric("calibration_error")[0] == pytest.approx(sum(gaps) / 3000, abs=1e-3)
    names = np.array(["a", "b", "c"], dtype=object)
    truth, said = rng.choice(names, 900), rng.choice(names, 900)
    several = score({"prediction": said}, truth.tolist())
    assert several.metric("macro_f1")[0] == pytest.approx(metrics.f1_score(truth, said, average="macro"))
    assert several.accuracy() == pytest.approx(np.mean(truth == said))
    assert math.isnan(several.metric("precision")[0])
    actual = rng.normal(10, 3, 900)
    guessed = actual + rng.normal(size=900)
    numbers = score({"prediction": guessed}, actual.tolist())
    assert numbers.metric("r2")[0] == pytest.approx(metrics.r2_score(actual, guessed))
    assert numbers.metric("mape")[0] == pytest.approx(metrics.mean_absolute_percentage_error(actual, guessed))
    assert numbers.metric("rmse")[0] == pytest.approx(metrics.root_mean_squared_error(actual, guessed))


@pytest.mark.parametrize("metric", ["precision", "recall", "f1", "average_precision", "calibration_error"])
def test_errors_from_the_groups_alone_are_not_too_small(metric: str) -> None:
    rng = np.random.default_rng(4)
    found = [Quality.of(*sample(rng, 500)).metric(metric) for _ in range(120)]
    ratio = np.mean([error for _, error in found]) / np.std([value for value, _ in found])
    assert 0.85 < ratio < 1.6


@pytest.mark.parametrize("metric", ["roc_auc", "brier", "accuracy"])
def test_rows_that_share_their_request_make_the_error_larger(metric: str) -> None:
    rng = np.random.default_rng(5)

    def grouped() -> tuple[float, float]:
        requests = np.repeat(rng.integers(0, 2**32, 40), 50)
        labels = (rng.random(2000) < 0.3).astype(float)
        shared = np.repeat(rng.normal(size=40), 50)
        scores = 1 / (1 + np.exp(-(shared + rng.normal(size=2000) + labels - 0.5)))
        classes = (scores > 0.5).astype(int)
        outputs = {"probability": scores, "prediction": classes}
        return score(outputs, labels.tolist(), requests=requests.tolist()).metric(metric)

    found = [grouped() for _ in range(60)]
    spread = np.std([value for value, _ in found])
    assert np.mean([error for _, error in found]) > 0.85 * spread


def test_few_of_a_class_have_no_interval() -> None:
    rng = np.random.default_rng(6)
    for positives in (1, 5, 9):
        labels = np.zeros(200)
        labels[:positives] = 1
        quality = Quality.of(rng.random(200), labels)
        value, error = quality.metric("roc_auc")
        assert not math.isnan(value) and math.isnan(error)
        assert f"{positives} of 10 positive labels" in (quality.lacking("roc_auc") or "")
        assert not math.isnan(quality.metric("brier")[1])
    labels[:10] = 1
    assert not math.isnan(Quality.of(rng.random(200), labels).metric("roc_auc")[1])


def test_an_output_that_is_not_finite_is_counted_and_the_rest_of_the_batch_is_taken() -> None:
    quality = score({"probability": np.array([math.nan, 0.5]), "prediction": np.array([1, 0])}, [1, 0])
    assert (quality.label_count, quality.left_out) == (1, 1)
    assert Quality.from_bytes(quality.to_bytes()).left_out == 1
    direct = Quality()
    direct.add_binary(np.array([math.nan, 0.5]), np.array([1.0, 0.0]))
    direct.add_values(np.array([math.inf, 2.0]), np.array([1.0, 2.5]))
    assert (direct.left_out, direct.brier(), direct.metric("mae")[0]) == (2, 0.25, 0.5)


def test_what_the_first_format_stored_is_still_read() -> None:
    sums = [(4, 0.5, 0.2), (4, 1.0, 0.4), (4, 3.0, 3.0), (0, 0.0, 0.0), (0, 0.0, 0.0)]
    old = msgspec.msgpack.encode([1, [900, 1, 300, 1], [100, 2], sums])
    quality = Quality.from_bytes(old)
    assert (quality.label_count, quality.positive_count) == (4, 2)
    assert (quality.roc_auc(), quality.accuracy(), quality.brier()) == (1.0, 0.75, 0.125)
    again = Quality.from_bytes(quality.merge(Quality.from_bytes(old)).to_bytes())
    assert (again.label_count, again.roc_auc(), again.accuracy()) == (8, 1.0, 0.75)


def test_macro_f1_of_many_classes_is_exact_however_the_labels_come() -> None:
    rng = np.random.default_rng(8)
    names = np.array([f"c{one}" for one in range(200)], dtype=object)
    truth = rng.integers(0, 200, 8000)
    guess = np.where(rng.random(8000) < 0.6, truth, rng.integers(0, 200, 8000))
    true = metrics.f1_score(truth, guess, average="macro")
    said, labels = names[guess], names[truth].tolist()
    parts = [
        score({"prediction": said[at : at + 2000]}, labels[at : at + 2000]) for at in range(0, 8000, 2000)
    ]
    found = Quality()
    for part in parts:
        found = found.merge(Quality.from_bytes(part.to_bytes()))
    assert found.metric("macro_f1")[0] == pytest.approx(true)
    assert score({"prediction": said}, labels).value("macro_f1") == pytest.approx(true)
    assert 0 < found.metric("macro_f1")[1] < 0.02
    less = found.without(parts[3])
    assert less.value("macro_f1") == pytest.approx(
        metrics.f1_score(truth[:6000], guess[:6000], average="macro")
    )


def test_pairs_of_classes_that_were_stored_are_read_and_tell_macro_f1_unless_some_were_mixed_up() -> None:
    groups = [part for group in range(8) for part in (group, 10)]
    sums = [
        part for group in range(8) for at, count in ((3, 20), (4, 10)) for part in (group * 12 + at, count)
    ]

    def stored(*pairs: tuple[str, str]) -> bytes:
        return msgspec.msgpack.encode([2, 0, [], [], sums, [], [[*pair, groups] for pair in pairs]])

    told = Quality.from_bytes(stored(("+", "+"), ("=a", "=b")))
    assert (told.label_count, told.accuracy()) == (160, 0.5)
    assert told.metric("macro_f1")[0] == pytest.approx(1 / 3)
    assert Quality.from_bytes(told.to_bytes()).to_bytes() == told.to_bytes()
    mixed = told.merge(Quality.from_bytes(stored(("=a", "=a"), ("others", "others"))))
    assert (mixed.label_count, mixed.accuracy()) == (320, 0.5)
    assert math.isnan(mixed.value("macro_f1")), "the pairs that were mixed up counted as right"
    assert "more classes than can be told apart" in str(mixed.lacking("macro_f1"))


def test_r2_is_not_told_of_labels_whose_differences_sums_cannot_keep() -> None:
    rng = np.random.default_rng(9)
    for size, is_told in ((1e2, True), (1e9, False)):
        truth = size + rng.normal(size=500)
        found = score({"prediction": truth + rng.normal(size=500)}, truth.tolist())
        assert math.isfinite(found.value("r2")) is is_told
        assert found.value("rmse") == pytest.approx(1, abs=0.1)


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


@pytest.mark.parametrize("odd", [1e200, -1e100, 1e70])
def test_one_answer_beyond_any_size_leaves_every_metric_its_error(odd: float) -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(10, 1, 1000)
    truth[7] = 1e-300
    guess = truth + rng.normal(0, 100, 1000)
    guess[5] = odd
    found = score({"prediction": guess}, truth.tolist())
    assert found.left_out == (abs(odd) > 1e75)
    for metric in ("mae", "rmse", "r2", "mape"):
        value, error = found.metric(metric)
        assert math.isfinite(value) and math.isfinite(error), metric
    assert found.metric("rmse")[0] == pytest.approx(100, rel=0.1) or abs(odd) <= 1e75
