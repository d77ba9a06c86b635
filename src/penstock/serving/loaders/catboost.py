"""The CatBoost flavour: a model in CatBoost's own format; reading it runs no code of its own.

The files are those of MLflow's catboost flavour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import catboost
import numpy as np

from penstock.base.errors import Invalid
from penstock.records.signature import Column
from penstock.serving.loaders.boosting import named_features
from penstock.serving.loaders.fed import Answer
from penstock.serving.loaders.flavour import Flavour, Saving, inside, probabilities_of, wants_probabilities

MODEL_DATA = "model.cb"


class CatboostFlavour(Flavour):
    """Classifiers give `prediction` and `probability`, others `prediction`."""

    name = "catboost"
    suffixes = (".cb", ".cbm")

    def takes(self, model: Any) -> bool:
        """Whether it is one of CatBoost's models."""
        return isinstance(model, catboost.CatBoost)

    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Write it as `model.cb`."""
        model.save_model(str(folder / MODEL_DATA))
        return {
            "data": MODEL_DATA,
            "model_type": _class_of(model).__name__,
            "save_format": "cbm",
            "catboost_version": catboost.__version__,
            "code": None,
        }

    def python_function(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how MLflow loads it."""
        return {"loader_module": "mlflow.catboost", "data": MODEL_DATA}

    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Read the model as the class that it was."""
        path = inside(folder, options.get("data", MODEL_DATA))
        name = str(options.get("model_type", "CatBoost"))
        made = getattr(catboost, name, None)
        if not isinstance(made, type) or not issubclass(made, catboost.CatBoost):
            raise Invalid(f"{name} is none of CatBoost's models", code="serving.model_does_not_load")
        return made().load_model(str(path), format=str(options.get("save_format", "cbm")))

    def inputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return its features, where none is categorical."""
        if model.get_cat_feature_indices():
            return ()
        names = list(model.feature_names_ or ())
        return named_features(None if _is_made_up(names) else names, len(names))

    def feature_names(self, model: Any) -> Sequence[str] | None:
        """Return its features' names."""
        names = list(model.feature_names_ or ())
        return None if _is_made_up(names) else names

    def takes_matrix(self, model: Any) -> bool:
        """Whether no feature is categorical: one array would make fractions of whole numbers that are categories."""
        return not model.get_cat_feature_indices()

    def is_bounded(self, model: Any) -> bool:
        """A prediction runs CatBoost's own code alone."""
        return True

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Ask it. Frames become rows of Python values, which CatBoost takes whatever they are."""
        table = rows if isinstance(rows, np.ndarray) else _rows(model, rows)
        found: dict[str, Any] = {}
        if wanted is None or "prediction" in wanted:
            values = np.asarray(model.predict(table, thread_count=1))
            found["prediction"] = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
        if isinstance(model, catboost.CatBoostClassifier) and wants_probabilities(wanted):
            probabilities = np.asarray(model.predict_proba(table, thread_count=1))
            found |= probabilities_of(probabilities, self.classes_of(model))
        return found


def _rows(model: Any, frame: Any) -> Any:
    """Return a frame in the order of the model's features."""
    names = list(model.feature_names_)
    table = frame if _is_made_up(names) else frame[names]
    return [list(row) for row in table.rows()] if hasattr(table, "rows") else table


def _class_of(model: Any) -> type:
    """Return CatBoost's own class that a model is of."""
    return next(base for base in type(model).__mro__ if base.__module__.startswith("catboost"))


def _is_made_up(names: list[str]) -> bool:
    return names == [str(index) for index in range(len(names))]


FLAVOUR = CatboostFlavour()
