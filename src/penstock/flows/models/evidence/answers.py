"""What a model answers on held-out rows, as scores that the gates compare.

A classifier of two classes that are not 0 and 1, or of more than two, is scored by its own classes: a label
is a class, and a row's score the probability that the model gave the truth. A metric of two classes then
gives that of all: the log loss is the mean of -log p(truth), accuracy the share of rows that are right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.base.errors import Invalid
from penstock.flows.models.tables import table_inputs
from penstock.records.classes import PROBABILITY, class_name, probability_output
from penstock.serving.loaders import ModelFiles, load_model

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
OF_MANY = ("accuracy", "log_loss")
"""Metrics of more than two classes."""


@dataclass(frozen=True)
class Answers:
    """A model's outputs on all rows, and its classes where it is a classifier that tells them."""

    outputs: dict[str, Array]
    classes: tuple[Any, ...] | None


def answer_rows(files: ModelFiles, frame: pl.DataFrame, label: str | None = None) -> Answers:
    """Let a model predict every row. A column it can do without and the table does not have is left out.

    A model that takes one matrix is given all columns but the label, in the table's order.

    Raises:
        Invalid: the model does not load, or the table lacks a column it needs.
    """
    model = load_model(files)
    outputs = dict(model.predict(table_inputs(model.signature, frame, label), frame.height))
    return Answers(outputs, getattr(model, "classes", None))


def scores_of(answers: Answers) -> Floats:
    """Return a model's scores of every row: the probability where it gives one, else the prediction."""
    return np.asarray(answers.outputs.get(PROBABILITY, answers.outputs.get("prediction")), dtype=np.float64)


def needs_classes(answers: Answers) -> bool:
    """Whether a model is a classifier whose labels are not 0 and 1."""
    return answers.classes is not None and [class_name(one) for one in answers.classes] != ["0", "1"]


def known_classes(both: Sequence[Answers]) -> tuple[Any, ...]:
    """Return the classes of the first model that tells them; a class of the user's own need not."""
    return next((one.classes for one in both if one.classes), ())


def class_names(values: Array) -> list[str]:
    """Return labels as names of classes."""
    return [class_name(one) for one in values.tolist()]


def require_known(truth: Sequence[str], classes: tuple[Any, ...], column: str, table: str = "") -> None:
    """Refuse labels, of a table that is named where it is not the held-out one, of a class that the model does not know.

    Raises:
        Invalid: there is one.
    """
    known = [class_name(one) for one in classes]
    strange = sorted(set(truth) - set(known))
    if strange:
        raise Invalid(
            f"label {column!r}{f' of {table}' if table else ''} has {strange[0][:40]!r}, which is none of the classes {', '.join(known)[:200]}",
            code="gate.bad_label",
            hint="train the model on all classes, or leave such rows out of the table",
            column=column,
        )


def compare_by_classes(
    candidate: Answers, champion: Answers | None, truth: list[str], metric: str
) -> tuple[Floats, Floats, Floats | None]:
    """Return truth and both models' scores: of two classes as usual, the last being 1; of more, of the truth.

    Raises:
        Invalid: the metric says nothing of so many classes.
    """
    both = [one for one in (candidate, champion) if one is not None]
    most = max(len(one.classes or ()) for one in both)
    if most > 2 and metric not in OF_MANY:
        raise Invalid(
            f"{metric} does not judge a classifier of {most} classes",
            code="gate.metric_of_two_classes",
            hint=f"write `metric: {OF_MANY[1]}` or `metric: {OF_MANY[0]}` for this gate in penstock.yaml",
        )
    last = class_name((known_classes(both) or ("",))[-1])
    is_last = np.array([float(one == last) for one in truth])
    if most <= 2:
        scores = [_of_last(one, last) for one in both]
        return is_last, scores[0], scores[1] if len(scores) > 1 else None
    scores = [_of_truth(one, truth, metric) for one in both]
    return np.ones(len(truth)), scores[0], scores[1] if len(scores) > 1 else None


def compare_with_constant(
    ours: Answers, truth: list[str], training: Mapping[str, int], metric: str, column: str, table: str
) -> tuple[Floats, Floats, Floats, str]:
    """Return truth, a classifier's scores, those of one answer to every row, and that answer in words.

    It is learned from the training labels of `table`, counted by their names: the most frequent class for accuracy, else
    the classes' shares. A model that tells no classes has the classes 0 and 1.

    Raises:
        Invalid: the metric says nothing of so many classes, or a label is none of them.
    """
    classes = ours.classes or (0, 1)
    require_known(truth, classes, column)
    require_known(tuple(training), classes, column, table)
    names = [class_name(one) for one in classes]
    shares = [training.get(one, 0) / sum(training.values()) for one in names]
    most = len(names) - 1 - int(np.argmax(shares[::-1]))
    if metric == "accuracy":
        told, shares = f"constant answer {names[most]}", [float(one == most) for one in range(len(names))]
    elif metric == "roc_auc":
        told = "same score for all"
    elif len(names) == 2:
        told = f"constant {shares[1]:.4g}"
    else:
        parts = [f"{one[:40]} {share:.4g}" for one, share in zip(names, shares, strict=True)]
        told = f"shares {', '.join(parts[:5])}{' …' if len(parts) > 5 else ''}"
    if not (ours.classes and needs_classes(ours)):
        labels = np.array([float(one == names[1]) for one in truth])
        return labels, scores_of(ours), np.full(len(truth), shares[1]), told
    outputs: dict[str, Array] = {"prediction": np.array([classes[most]] * len(truth), dtype=object)}
    outputs |= (
        {PROBABILITY: np.full(len(truth), shares[1])}
        if len(names) == 2
        else {
            probability_output(one): np.full(len(truth), share)
            for one, share in zip(classes, shares, strict=True)
        }
    )
    labels, scores, constant = compare_by_classes(ours, Answers(outputs, classes), truth, metric)
    return labels, scores, np.zeros(0) if constant is None else constant, told


def _of_last(answers: Answers, last: str) -> Floats:
    """Return the probability of one of two classes; without probabilities the prediction counts as certain."""
    if PROBABILITY in answers.outputs:
        scores = np.asarray(answers.outputs[PROBABILITY], dtype=np.float64)
        is_turned = bool(answers.classes) and class_name((answers.classes or ())[-1]) != last
        return 1 - scores if is_turned else scores
    return np.array([float(one == last) for one in class_names(answers.outputs["prediction"])])


def _of_truth(answers: Answers, truth: list[str], metric: str) -> Floats:
    """Return the probability that a model gave each true class, none where it does not know the class.

    Without probabilities, and for accuracy, whether the prediction is right.
    """
    classes = [class_name(one) for one in answers.classes or ()]
    names = [f"{PROBABILITY}_{one}" for one in classes]
    outputs = answers.outputs
    if len(classes) == 2 and PROBABILITY in outputs:
        last = np.asarray(outputs[PROBABILITY], dtype=np.float64)
        outputs = {**outputs, names[0]: 1 - last, names[1]: last}
    if metric == "accuracy" or any(name not in outputs for name in names):
        guess = class_names(outputs["prediction"])
        return np.array([float(one == other) for one, other in zip(guess, truth, strict=True)])
    each = np.stack([*(np.asarray(outputs[name], dtype=np.float64) for name in names), np.zeros(len(truth))])
    at = {name: index for index, name in enumerate(classes)}
    found: Floats = each[[at.get(one, len(at)) for one in truth], np.arange(len(truth))]
    return found
