"""What the three libraries of boosted trees share: names of features, and answers of their scikit-learn faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from penstock.records.signature import Column
from penstock.serving.loaders.fed import Answer
from penstock.serving.loaders.feeding import is_numeric
from penstock.serving.loaders.flavour import probabilities_of, wants_probabilities
from penstock.serving.loaders.model import Rows


def named_features(names: Sequence[str] | None, count: int | None) -> tuple[Column, ...]:
    """Return numeric columns by name, or one matrix where the model knows only their number."""
    if names:
        return tuple(Column(str(name), "FP64") for name in names)
    return () if not count else (Column("input-0", "FP64", shape=(-1, int(count))),)


def boosting_rows(rows: Rows, inputs: Sequence[Column]) -> Rows:
    """Return pandas for columns that are not all numbers: these libraries take frames of polars by way of it only."""
    return rows if rows == "numpy" or is_numeric(inputs) else "pandas"


def answer_estimator(model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
    """Return `prediction` and, of a classifier, `probability`, asking the model once where classes are known."""
    found: dict[str, Any] = {}
    if hasattr(model, "predict_proba") and wants_probabilities(wanted):
        probabilities = np.asarray(model.predict_proba(rows))
        if probabilities.ndim == 2:
            classes = np.asarray(model.classes_)
            found |= probabilities_of(probabilities, classes.tolist())
            if classes.ndim == 1 and len(classes) == probabilities.shape[1]:
                found["prediction"] = classes[probabilities.argmax(axis=1)]
    if "prediction" not in found and (wanted is None or "prediction" in wanted):
        values = np.asarray(model.predict(rows))
        found["prediction"] = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    return found
