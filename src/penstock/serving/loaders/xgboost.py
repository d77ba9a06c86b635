"""The XGBoost flavour: a booster, or a model of its scikit-learn face, in XGBoost's own binary JSON.

Reading runs no code of its own. The files are those of MLflow's xgboost flavour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from penstock.base.errors import Invalid
from penstock.records.signature import Column
from penstock.serving.loaders.boosting import answer_estimator, boosting_rows, named_features
from penstock.serving.loaders.fed import Answer
from penstock.serving.loaders.flavour import Flavour, Saving, inside
from penstock.serving.loaders.model import Rows

MODEL_DATA = "model.ubj"
_BOOSTER = "xgboost.core.Booster"


class XgboostFlavour(Flavour):
    """Boosters give `prediction`; classifiers of the scikit-learn face `probability` too."""

    name = "xgboost"
    suffixes = (".ubj",)

    def takes(self, model: Any) -> bool:
        """Whether it is one of XGBoost's models."""
        return isinstance(model, xgboost.Booster | xgboost.XGBModel)

    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Write it as `model.ubj`."""
        model.save_model(folder / MODEL_DATA)
        kind = type(model)
        is_booster = isinstance(model, xgboost.Booster)
        return {
            "data": MODEL_DATA,
            "model_class": _BOOSTER if is_booster else f"xgboost.sklearn.{_public_class(kind).__name__}",
            "model_format": "ubj",
            "xgb_version": xgboost.__version__,
            "code": None,
        }

    def python_function(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how MLflow loads it."""
        return {"loader_module": "mlflow.xgboost", "data": MODEL_DATA}

    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Read the booster, or the model of the scikit-learn face that it was."""
        path = inside(folder, options.get("data", MODEL_DATA))
        name = str(options.get("model_class", _BOOSTER)).rpartition(".")[2]
        made = getattr(xgboost, name, None)
        if not isinstance(made, type) or not issubclass(made, xgboost.Booster | xgboost.XGBModel):
            raise Invalid(f"{name} is none of XGBoost's models", code="serving.model_does_not_load")
        model = made()
        model.load_model(path)
        if isinstance(model, xgboost.Booster):
            model.set_param({"nthread": 1})
        else:
            model.set_params(n_jobs=1)
        return model

    def file_options(self, path: Path) -> dict[str, Any]:
        """Return the options of a lone file, which remembers whether it was a classifier's or a regressor's."""
        noted = str(xgboost.Booster(model_file=path).attr("scikit_learn") or "")
        faces = {"XGBClassifier": "classifier", "XGBRegressor": "regressor"}
        face = next((name for name, word in faces.items() if f'"{word}"' in noted), None)
        return {"data": path.name, "model_class": f"xgboost.sklearn.{face}" if face else _BOOSTER}

    def inputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return its features."""
        booster = _booster(model)
        return named_features(booster.feature_names, booster.num_features())

    def feature_names(self, model: Any) -> Sequence[str] | None:
        """Return its features' names."""
        names: Sequence[str] | None = _booster(model).feature_names
        return names

    def rows_for(self, rows: Rows, inputs: Sequence[Column]) -> Rows:
        """Return pandas for text and categories."""
        return boosting_rows(rows, inputs)

    def is_bounded(self, model: Any) -> bool:
        """A prediction runs XGBoost's own code alone."""
        return True

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Ask it."""
        if not isinstance(model, xgboost.Booster):
            return answer_estimator(model, rows, wanted)
        is_array = isinstance(rows, np.ndarray)
        names = model.feature_names if is_array else None
        table = xgboost.DMatrix(rows, feature_names=names, enable_categorical=not is_array, nthread=1)
        return {"prediction": np.asarray(model.predict(table, validate_features=not is_array))}


def _booster(model: Any) -> Any:
    return model if isinstance(model, xgboost.Booster) else model.get_booster()


def _public_class(kind: type) -> type:
    """Return XGBoost's own class that a model is of, also where a user's class derives from it."""
    return next(base for base in kind.__mro__ if base.__module__.startswith("xgboost."))


FLAVOUR = XgboostFlavour()
