"""From a model's outputs and the labels that came later to quality.

Which kind of model it is follows from the outputs: a `probability` makes it a binary classifier, of the
last of its two classes; a floating-point `prediction` alone a regression; any other `prediction` a
classifier of any number of classes, whose probabilities are `probability_CLASS`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.monitoring.quality.counts import NEGATIVE, POSITIVE
from penstock.monitoring.quality.measures import Quality
from penstock.monitoring.quality.useless import is_own_number, is_useless
from penstock.records.classes import (
    class_name,
    is_beyond_outputs,
    is_probability,
    probability_output,
)

LARGEST_LABEL = 1e15
"""Beyond it a squared error says nothing any more."""
Outputs = Mapping[str, npt.NDArray[Any]]


def fits(outputs: Outputs, labels: Sequence[Any], *, classes: Sequence[Any] | None = None) -> bool:
    """Say whether labels can be the truth about predictions of this kind; None is not known and fits."""
    return misfit(outputs, labels, classes=classes) is None


def misfit(outputs: Outputs, labels: Sequence[Any], *, classes: Sequence[Any] | None = None) -> str | None:
    """Say in words why labels cannot be the truth about predictions of this kind; None when they can.

    Args:
        classes: the model's classes in its order, where they are known. Without them a binary classifier's
            are told from its predictions, and other classifiers take any class.
    """
    outputs = _by_row(outputs)
    known = [label for label in labels if label is not None]
    if any(map(is_beyond_outputs, known)):
        return f"{_shown(next(filter(is_beyond_outputs, known)))} is larger than any output"
    prediction = outputs.get("prediction")
    kind = prediction.dtype.kind if prediction is not None else ""
    if classes is None and prediction is not None and _is_text(prediction):
        number = next((label for label in known if not isinstance(label, str)), None)
        if number is not None:
            return f"{_shown(number)} is not a text, and the predictions are texts, such as {_shown(prediction[0])}"
    if "probability" in outputs:
        pair = _Pair(outputs, classes, known)
        return next((why for label in known if (why := pair.misfit(label))), None)
    if kind == "f" and classes is None:
        told = next((label for label in known if isinstance(label, bool)), None)
        if told is not None:
            return (
                f"{str(told).lower()} is no number, and the predictions are numbers: send what was measured"
            )
        wrong = (label for label in known if not _is_number(label) or not abs(label) <= LARGEST_LABEL)
        return next((f"{_shown(label)} is not a number of ordinary size" for label in wrong), None)
    if classes is not None:
        names = {class_name(one) for one in classes}
        unknown = (label for label in known if class_name(label) not in names)
        return next((f"{_shown(label)} is none of the classes {_listed(classes)}" for label in unknown), None)
    return None


def kind_of(outputs: Outputs, labels: Sequence[Any]) -> Hashable:
    """Return what answers have in common that can be scored as one: the outputs, which of them are numbers, what the labels are.

    A whole number takes any class, and a label that is no number is none beside fractions.
    """
    numbers = frozenset(name for name, values in outputs.items() if values.dtype.kind in "biuf")
    told = "prediction" in numbers and all(one is None or _is_number(one) for one in labels)
    return frozenset(outputs), numbers, told or "probability" in outputs


def is_same(one: Any, other: Any) -> bool:
    """Whether two labels say the same: 1, 1.0, true and "1" do."""
    return one == other or (one is not None and other is not None and class_name(one) == class_name(other))


def score(
    outputs: Outputs,
    labels: Sequence[Any],
    *,
    requests: Sequence[int] | None = None,
    classes: Sequence[Any] | None = None,
    positive: Any = None,
) -> Quality:
    """Return the quality of predictions given their labels, one a row; None is not known and left out.

    Rows whose answer is none (`useless`), or whose label is no number where the answers are, are counted and left out.

    Args:
        requests: a number of the request of each row; rows of one request are kept together.
        classes: the model's classes in its order, where they are known.
        positive: the class that precision, recall and the scores are about; the model's last by default.
    """
    quality = Quality()
    outputs = _by_row(outputs)
    probability, prediction = outputs.get("probability"), outputs.get("prediction")
    known = [index for index, label in enumerate(labels) if label is not None]
    if not known:
        return quality
    odd = np.zeros(len(labels), dtype=np.bool_)
    for name, values in outputs.items():
        if name == "prediction" or is_probability(name):
            is_number = is_own_number(name, outputs, classes)
            odd |= is_useless(name, values[: len(labels)], is_number=is_number)
    is_numbers = (
        probability is None and prediction is not None and prediction.dtype.kind == "f" and classes is None
    )
    finite = [index for index in known if not odd[index] and (not is_numbers or _is_number(labels[index]))]
    quality.left_out = len(known) - len(finite)
    if not finite:
        return quality
    truth = [labels[index] for index in finite]
    numbers = None if requests is None else [requests[index] for index in finite]
    if probability is not None:
        _score_pair(quality, outputs, (finite, truth, numbers), _Pair(outputs, classes, truth), positive)
    elif is_numbers and prediction is not None:
        quality.add_values(prediction[finite].astype(np.float64), np.array(truth, dtype=np.float64), numbers)
    elif prediction is not None:
        guesses, truths = (
            _names(prediction[finite].tolist()),
            _names(truth),
        )
        chosen = _positive_of(classes, positive, {*guesses, *truths})
        quality.positive = chosen or ""
        quality.add_classes(_named(guesses, chosen), _named(truths, chosen), numbers)
        each = _probabilities(outputs, classes)
        if each is not None:
            at = {class_name(one): index for index, one in enumerate(classes or ())}
            never = np.zeros((len(finite), 1))  # of a class that this version does not know
            places = [at.get(one, len(at)) for one in truths]
            quality.add_probabilities(np.hstack([each[finite], never]), places, numbers)
    return quality


def _by_row(outputs: Outputs) -> Outputs:
    """Return the outputs with one value a row; probabilities of many classes tell no truth from a label."""
    return {name: values for name, values in outputs.items() if values.ndim == 1}


def _probabilities(outputs: Outputs, classes: Sequence[Any] | None) -> npt.NDArray[np.float64] | None:
    """Return the probability of each class, `(n_rows, n_classes)`; None where not all of them are told."""
    names = [probability_output(one) for one in classes or ()]
    if not names or any(name not in outputs for name in names):
        return None
    return np.stack([np.asarray(outputs[name], dtype=np.float64) for name in names], axis=1)


def _score_pair(
    quality: Quality,
    outputs: Outputs,
    rows: tuple[list[int], list[Any], list[int] | None],
    pair: _Pair,
    positive: Any,
) -> None:
    index, labels, requests = rows
    scores = np.asarray(outputs["probability"][index], dtype=np.float64)
    truth = pair.are_last(labels)
    prediction = outputs.get("prediction")
    guess = scores >= 0.5 if prediction is None else pair.are_last(prediction[index].tolist())
    if positive is not None and not pair.is_last(class_name(positive)):
        scores, truth, guess = 1 - scores, ~truth, ~guess
    quality.positive = (pair.last or "") if positive is None else class_name(positive)
    quality.add_binary(scores, truth, requests)
    quality.add_classes(np.where(guess, POSITIVE, NEGATIVE), np.where(truth, POSITIVE, NEGATIVE), requests)


class _Pair:
    """The two classes of a binary classifier, as far as its outputs tell them: the last has the probability."""

    def __init__(self, outputs: Outputs, classes: Sequence[Any] | None, labels: Iterable[Any] = ()) -> None:
        self.first: str | None = None
        self.last: str | None = None
        if classes is not None and len(classes) > 1:
            self.first, self.last = class_name(classes[0]), class_name(classes[-1])
        elif "prediction" not in outputs:
            self.first, self.last = "0", "1"
        else:
            self._infer(outputs, set(_names(labels)))

    def _infer(self, outputs: Outputs, labels: set[str]) -> None:
        """Read them from predictions, else from labels too; classes are in sorted order.

        One class alone is the last when it is predicted with at least one half.
        """
        seen = set(_names(outputs["prediction"].tolist()))
        both = seen if len(seen) == 2 else seen | labels
        if both <= {"0", "1"}:
            self.first, self.last = "0", "1"
        elif len(both) == 2:
            self.first, self.last = sorted(both, key=_order)
        elif len(seen) == 1:
            told = outputs["probability"]
            scores = np.asarray(told[~is_useless("probability", told)], dtype=np.float64)
            if len(scores) and scores.max() >= 0.5:
                (self.last,) = seen
            elif len(scores):
                (self.first,) = seen

    def is_last(self, name: str) -> bool:
        """Whether a class is the one that the probability is of."""
        return name == self.last if self.last is not None else name != self.first

    def are_last(self, values: Iterable[Any]) -> npt.NDArray[np.bool_]:
        """Return of each class, however it is written, whether it is the one that the probability is of."""
        names = _names(values)
        last = {name: self.is_last(name) for name in set(names)}
        return np.array([last[name] for name in names], dtype=np.bool_)

    def misfit(self, label: Any) -> str | None:
        """Say why a label is neither class; None when it may be one."""
        known = [one for one in (self.first, self.last) if one is not None]
        if len(known) < 2 or class_name(label) in known:
            return None
        return f"{_shown(label)} is none of the classes {_listed(known)}"


def _names(values: Iterable[Any]) -> list[str]:
    """Return the name of each class; one that comes again is named once, as few classes have many rows."""
    known: dict[tuple[type[Any], Any], str] = {}
    found = []
    for value in values:
        try:
            name = known.get(key := (type(value), value))
        except TypeError:  # a list has no hash
            found.append(class_name(value))
            continue
        if name is None:
            name = known[key] = class_name(value)
        found.append(name)
    return found


def _positive_of(classes: Sequence[Any] | None, positive: Any, seen: set[str]) -> str | None:
    """Return the class that precision and recall are about; None where there are more than two."""
    if positive is not None:
        return class_name(positive)
    if classes is not None:
        return class_name(classes[-1]) if len(classes) == 2 else None
    return "1" if seen <= {"0", "1"} else None


def _named(names: Iterable[str], positive: str | None) -> list[str]:
    if positive is None:
        return [f"={name}" for name in names]
    other = {"1": "0", "0": "1"}.get(positive)
    return [POSITIVE if name == positive else NEGATIVE if name == other else f"={name}" for name in names]


def _is_text(values: npt.NDArray[Any]) -> bool:
    """Whether all of an output are texts, and none of them a number in letters, as classes `0` and `1` are."""
    if values.dtype.kind not in "OU" or len(values) == 0:
        return False
    return all(isinstance(one, str) and _order(one)[0] == 1 for one in values)


def _is_number(label: Any) -> bool:
    return isinstance(label, int | float)


def _order(name: str) -> tuple[int, float, str]:
    """Return what classes are sorted by: numbers by size, then texts."""
    try:
        return 0, float(name), ""
    except ValueError:
        return 1, 0.0, name


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _listed(values: Iterable[Any]) -> str:
    return " and ".join(class_name(value)[:40] for value in values)
