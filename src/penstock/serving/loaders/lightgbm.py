"""The LightGBM flavour: a booster in LightGBM's text format, or a model of its scikit-learn face as skops.

Reading runs no code of its own, unless the file is a pickle. The files are those of MLflow's lightgbm flavour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from penstock.records.flavours import import_flavour
from penstock.records.signature import Column
from penstock.serving.loaders.boosting import answer_estimator, boosting_rows, named_features
from penstock.serving.loaders.fed import Answer
from penstock.serving.loaders.flavour import Flavour, Saving, inside, probabilities_of
from penstock.serving.loaders.model import Rows

MODEL_TEXT = "model.lgb"
MODEL_SKOPS = "model.skops"


class LightgbmFlavour(Flavour):
    """Boosters give `prediction`; classifiers of the scikit-learn face `probability` too."""

    name = "lightgbm"
    suffixes = (".lgb",)

    def takes(self, model: Any) -> bool:
        """Whether it is one of LightGBM's models."""
        return isinstance(model, lightgbm.Booster | lightgbm.LGBMModel)

    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Write a booster as text, a model of the scikit-learn face with skops."""
        options = {"lgb_version": lightgbm.__version__, "code": None, "model_class": _class_of(model)}
        if isinstance(model, lightgbm.Booster):
            model.save_model(folder / MODEL_TEXT)
            return {"data": MODEL_TEXT, **options}
        written = _sklearn().save(model, folder, saving)
        return {
            "data": MODEL_SKOPS,
            "serialization_format": "skops",
            "skops_trusted_types": written["skops_trusted_types"],
            **options,
        }

    def python_function(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how MLflow loads it."""
        return {"loader_module": "mlflow.lightgbm", "data": options["data"]}

    def runs_code(self, options: Mapping[str, Any]) -> bool:
        """Whether the file is a pickle."""
        data = str(options.get("data", MODEL_TEXT))
        return data.endswith((".pkl", ".pickle", ".joblib"))

    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Read the booster or the estimator."""
        path = inside(folder, options.get("data", MODEL_TEXT))
        if path.suffix not in {".skops", ".pkl", ".pickle", ".joblib"}:
            return lightgbm.Booster(model_file=str(path))
        usual = [_class_of(lightgbm.LGBMClassifier()), "collections.OrderedDict", "lightgbm.basic.Booster"]
        usual += [
            "lightgbm.sklearn.LGBMRegressor",
            "lightgbm.sklearn.LGBMRanker",
            "lightgbm.sklearn.LGBMModel",
        ]
        kind = "skops" if path.suffix == ".skops" else options.get("serialization_format", "pickle")
        model = _sklearn().read(
            folder,
            {**options, "pickled_model": path.name, "serialization_format": kind},
            None if trusted is None else [*usual, *trusted],
        )
        model.set_params(n_jobs=1)
        return model

    def inputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return its features."""
        return named_features(_names(model), _booster(model).num_feature())

    def feature_names(self, model: Any) -> Sequence[str] | None:
        """Return its features' names."""
        return _names(model)

    def rows_for(self, rows: Rows, inputs: Sequence[Column]) -> Rows:
        """Return pandas for text and categories."""
        return boosting_rows(rows, inputs)

    def is_bounded(self, model: Any) -> bool:
        """A prediction runs LightGBM's own code alone."""
        return True

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Ask its booster: what the scikit-learn face checks on top costs more than a prediction."""
        values = np.asarray(_booster(model).predict(rows, num_threads=1))
        classes = getattr(model, "classes_", None)
        if classes is None or callable(getattr(model, "objective_", None)):
            return {"prediction": values} if classes is None else answer_estimator(model, rows, wanted)
        probabilities = values if values.ndim == 2 else np.column_stack((1.0 - values, values))
        return {
            "prediction": np.asarray(classes)[probabilities.argmax(axis=1)],
            **probabilities_of(probabilities, np.asarray(classes).tolist()),
        }


def _sklearn() -> Flavour:
    flavour: Flavour = import_flavour("sklearn")  # only its scikit-learn face needs skops
    return flavour


def _class_of(model: Any) -> str:
    return f"{type(model).__module__}.{type(model).__qualname__}"


def _booster(model: Any) -> Any:
    return model if isinstance(model, lightgbm.Booster) else model.booster_


def _names(model: Any) -> list[str] | None:
    """Return the names of its features, None where LightGBM made them up."""
    names = list(_booster(model).feature_name())
    return None if names == [f"Column_{index}" for index in range(len(names))] else names


FLAVOUR = LightgbmFlavour()
