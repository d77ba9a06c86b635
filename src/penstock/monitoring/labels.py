"""From a model's outputs and the labels that came later to quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.monitoring.quality import Quality

LARGEST_LABEL = 1e15
"""Beyond it a squared error says nothing any more."""


def fits(outputs: Mapping[str, npt.NDArray[Any]], labels: Sequence[Any]) -> bool:
    """Say whether labels can be the truth about predictions of this kind; None is not known and fits.

    A classifier with `probability` and a numeric or boolean `prediction` takes 0, 1, true and false; a
    floating-point `prediction` finite numbers of ordinary size; any other classes take what they are.
    """
    known = [label for label in labels if label is not None]
    prediction = outputs.get("prediction")
    kind = prediction.dtype.kind if prediction is not None else ""
    if "probability" in outputs and kind in "iubf":
        return all(isinstance(label, bool | int | float) and label in (0, 1) for label in known)
    if kind == "f":
        return all(isinstance(label, bool | int | float) and abs(label) <= LARGEST_LABEL for label in known)
    return True


def score(outputs: Mapping[str, npt.NDArray[Any]], labels: Sequence[Any]) -> Quality:
    """Return the quality of predictions given their labels, one a row; None is not known and left out.

    With the output `probability` and labels that are 0, 1, true or false it is binary classification;
    with a floating-point `prediction` alone, regression; otherwise classes are compared.
    """
    quality = Quality()
    known = [index for index, label in enumerate(labels) if label is not None]
    if not known:
        return quality
    truth = [labels[index] for index in known]
    probability, prediction = outputs.get("probability"), outputs.get("prediction")
    is_number = all(isinstance(label, bool | int | float) for label in truth)
    if probability is not None and is_number and all(label in (0, 1) for label in truth):
        scores = probability[known].astype(np.float64)
        quality.add_binary(scores, np.array(truth, dtype=np.float64))
        if prediction is None:
            prediction = np.empty(len(probability), dtype=np.int64)
            prediction[known] = scores >= 0.5
    elif prediction is not None and prediction.dtype.kind == "f" and is_number and probability is None:
        quality.add_values(prediction[known].astype(np.float64), np.array(truth, dtype=np.float64))
        return quality
    if prediction is not None:
        quality.add_classes(
            [_class(value) for value in prediction[known].tolist()], [_class(value) for value in truth]
        )
    return quality


def _class(value: Any) -> Any:
    """Return a class so that 1, 1.0, true and "1" are the same."""
    if isinstance(value, bool | int | float):
        number = float(value)
        return str(int(number)) if number.is_integer() else str(number)
    return str(value)
