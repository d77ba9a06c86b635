"""Labels that cannot be the truth are told apart from those that can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.monitoring.quality.labels import fits, is_same, misfit, score
from penstock.monitoring.quality.measures import Quality
from penstock.stats.metric_names import METRICS

CLASSIFIER = {"prediction": np.array([0, 1]), "probability": np.array([0.1, 0.9])}
REGRESSOR = {"prediction": np.array([0.5, 1.5])}
CLASSES = {"prediction": np.array(["a", "b"], dtype=object)}


@pytest.mark.parametrize("labels", [[0, 1], [True, False], [None, 1], [1.0, 0.0]])
def test_a_classifier_takes_zero_and_one(labels: list[Any]) -> None:
    assert fits(CLASSIFIER, labels)


@pytest.mark.parametrize("labels", [["a", "b"], [5, 7], [1e308, 0], [2**70, 0], ["\N{SNOWMAN}", 1]])
def test_a_classifier_takes_nothing_else(labels: list[Any]) -> None:
    assert not fits(CLASSIFIER, labels)


def test_a_regressor_takes_numbers_and_classes_take_themselves() -> None:
    assert fits(REGRESSOR, [1, -2.5])
    assert not fits(REGRESSOR, ["a", 1])
    assert not fits(REGRESSOR, [1e300, 1])
    assert fits(CLASSES, ["a", "c"])


def test_a_whole_number_beyond_every_output_is_no_truth_about_any() -> None:
    """It was a question that raised, and took everything along that was written with its answer."""
    integers = {"prediction": np.array([0, 1])}
    for outputs in (CLASSIFIER, REGRESSOR, CLASSES, integers, {"probability": np.array([0.1, 0.9])}):
        for label in (10**400, -(10**400)):
            assert "is larger than any output" in (misfit(outputs, [label, None]) or ""), outputs
    assert is_same(10**400, 10**400)
    assert not is_same(10**400, 1)
    assert fits(integers, [10**300, 1])


def test_a_boolean_is_no_truth_about_a_number() -> None:
    """It was taken for 1, and stood among prices."""
    assert fits(REGRESSOR, [1, None])
    for label in (True, False):
        assert "is no number, and the predictions are numbers" in (misfit(REGRESSOR, [2.5, label]) or "")
    assert fits({"prediction": np.array([0.0, 1.0])}, [True, False], classes=[0.0, 1.0])


def test_classes_are_told_by_their_names() -> None:
    outputs = {
        "prediction": np.array(["no", "yes", "no"], dtype=object),
        "probability": np.array([0.2, 0.9, 0.4]),
    }
    quality = score(outputs, ["no", "yes", "yes"])
    assert (quality.roc_auc(), quality.positive_count, quality.accuracy()) == (1.0, 2, pytest.approx(2 / 3))
    assert "none of the classes no and yes" in (misfit(outputs, ["maybe"]) or "")


def test_classes_two_and_one_take_two_and_one_only() -> None:
    outputs = {"prediction": np.array([1, 2]), "probability": np.array([0.2, 0.9])}
    assert score(outputs, [1, 2]).roc_auc() == 1.0
    assert not fits(outputs, [0, 1])
    first = {"prediction": np.array([1]), "probability": np.array([0.2])}
    assert [fits(first, [one], classes=[1, 2]) for one in (1, 2, 0, "b")] == [True, True, False, False]
    assert score(first, [2], classes=[1, 2]).positive_count == 1
    assert score(first, [2]).positive_count == 1


def test_the_positive_class_is_a_setting() -> None:
    outputs = {
        "prediction": np.array(["no", "yes", "no"], dtype=object),
        "probability": np.array([0.2, 0.9, 0.4]),
    }
    turned = score(outputs, ["no", "yes", "yes"], positive="no")
    assert (turned.positive_count, turned.roc_auc()) == (1, 1.0)
    assert turned.metric("precision")[0] == 0.5
    several = {"prediction": np.array(["a", "b", "c", "a"], dtype=object)}
    assert score(several, ["a", "b", "a", "b"], positive="a").metric("recall")[0] == 0.5


def test_a_number_is_no_label_of_predictions_that_are_texts() -> None:
    outputs = {"prediction": np.array(["yes", "no"], dtype=object), "probability": np.array([0.8, 0.1])}
    assert "0 is not a text" in (misfit(outputs, [0, 1]) or "")
    assert "True is not a text" in (misfit({"prediction": outputs["prediction"]}, ["yes", True]) or "")
    assert misfit(outputs, ["no", "yes"]) is None
    assert misfit({"prediction": np.array(["0", "1"], dtype=object)}, [0, 1]) is None


def test_a_label_of_an_unknown_class_is_a_misfit_with_its_reason() -> None:
    outputs = {"prediction": np.array([0, 2])}
    assert misfit(outputs, [0, 99], classes=[0, 2]) == "99 is none of the classes 0 and 2"
    assert fits(outputs, [0, 2.0], classes=[0, 2])
    binary = {"prediction": np.array([0, 1]), "probability": np.array([0.1, 0.9])}
    assert "99" in (misfit(binary, [99]) or "")
    assert "not a number" in (misfit(REGRESSOR, ["a"]) or "")


def test_a_custom_threshold_does_not_confuse_the_classes() -> None:
    outputs = {
        "prediction": np.array(["yes", "yes", "no"], dtype=object),
        "probability": np.array([0.3, 0.9, 0.1]),
    }
    assert score(outputs, ["yes", "yes", "no"]).roc_auc() == 1.0


def test_more_than_two_classes_have_log_loss_and_brier_with_an_error() -> None:
    rng = np.random.default_rng(1)
    classes = ("a", "b", 3)
    made = rng.dirichlet([1.0, 1.0, 1.0], 4000)
    truth = [classes[index] for index in (made.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)]
    outputs = {"prediction": np.array([classes[one] for one in made.argmax(axis=1)], dtype=object)}
    outputs |= {f"probability_{one}": made[:, index] for index, one in enumerate(classes)}
    quality = score(outputs, truth, classes=classes)
    of_truth = made[np.arange(4000), [classes.index(one) for one in truth]]
    hit = np.array([[one == other for other in classes] for one in truth])
    value, error = quality.metric("log_loss")
    assert value == pytest.approx(-np.log(of_truth).mean())
    assert error == pytest.approx(np.log(of_truth).std() / np.sqrt(4000), rel=0.5)
    assert quality.metric("brier")[0] == pytest.approx(np.square(made - hit).sum(axis=1).mean())
    assert np.isnan(quality.metric("roc_auc")[0])
    assert "'d' is none of the classes a and b and 3" in (
        misfit(outputs, ["d"] * 4000, classes=classes) or ""
    )
    assert fits(outputs, ["3"] * 4000, classes=classes)
    outputs["probability_a"] = np.where(np.arange(4000) < 10, np.nan, made[:, 0])
    assert score(outputs, truth, classes=classes).left_out == 10
    narrow = score({name: outputs[name][20:] for name in ("prediction", "probability_b", "probability_3")}, truth[20:], classes=("b", 3))  # fmt: skip
    assert narrow.metric("log_loss")[0] > 5


def test_no_labels_tell_nothing_whatever_was_answered() -> None:
    for outputs in ({"prediction": np.array([0.5, 0.25])}, {"probability": np.array([0.5])}, {}):
        found = score(outputs, [])
        assert (found.label_count, found.left_out) == (0, 0)


def test_what_is_no_number_is_left_out_beside_numbers_and_no_error() -> None:
    late = np.array(["late", "late"], dtype=object)
    mixed = {"prediction": late, "probability": np.array([0.9, "n/a"], dtype=object)}
    assert misfit(mixed, ["late", "late"]) is None
    assert misfit({**mixed, "probability": np.array(["high", "low"], dtype=object)}, ["late"]) is None
    quality = score(mixed, ["late", "late"])
    assert (quality.label_count, quality.left_out, quality.brier()) == (1, 1, pytest.approx(0.01))
    numbers = score({"prediction": np.array([1.0, 0.5])}, ["late", 0.7])
    assert (numbers.label_count, numbers.left_out, numbers.metric("mae")[0]) == (1, 1, pytest.approx(0.2))


@pytest.mark.parametrize("kind", ["probability", "text", "number", "unset"])
def test_counts_from_before_another_class_was_the_positive_one_are_turned(kind: str) -> None:
    rng = np.random.default_rng(2)
    names = np.array(["0", "1"] if kind == "number" else ["no", "yes"], dtype=object)
    first, last = names
    truth = rng.random(800) < 0.2
    scores = np.clip(0.1 + 0.5 * truth + rng.normal(0, 0.15, 800), 0, 1)
    outputs = {"prediction": names[(scores >= 0.5).astype(int)]}
    if kind == "probability":
        outputs["probability"] = scores
    labels = names[truth.astype(int)].tolist()
    classes = tuple(names) if kind == "probability" else None

    def part(begin: int, end: int, positive: str | None) -> Quality:
        told = {name: values[begin:end] for name, values in outputs.items()}
        scored = score(
            told, labels[begin:end], requests=list(range(begin, end)), classes=classes, positive=positive
        )
        return Quality.from_bytes(scored.to_bytes())

    before = part(0, 400, None if kind in ("probability", "unset") else last)
    whole, found = part(0, 800, first), before.merge(part(400, 800, first))
    assert found.positive == whole.positive == first
    for metric in METRICS:
        assert found.metric(metric) == pytest.approx(whole.metric(metric), abs=0.01, nan_ok=True), metric
    turned = whole.merge(part(400, 800, last)).without(part(0, 400, first))
    assert turned.positive == last
    assert turned.value("recall") == pytest.approx(part(400, 800, last).value("recall"), abs=1e-9)
