"""The scikit-learn flavour: an estimator in a skops, pickle or joblib file.

It is written as skops: loading such a file runs no code of its own, only the types it is trusted for. A pickle
runs its own code, which is why a model folder that holds one must come from the registry. The files are those of
MLflow's sklearn flavour.
"""

from __future__ import annotations

import importlib
import pickle
import re
import threading
import zipfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from penstock.base.errors import Refused
from penstock.records.signature import Column
from penstock.serving.loaders.compiled.shortcut import with_shortcut
from penstock.serving.loaders.fed import Answer, FedPredictor
from penstock.serving.loaders.flavour import (
    Flavour,
    Saving,
    code_options,
    inside,
    probabilities_of,
    wants_probabilities,
)
from penstock.serving.loaders.model import ModelFiles, Predictor, datatype_of
from penstock.serving.loaders.quick_skops import SKLEARN_VERSION, import_skops

_skops = import_skops()
MODEL_DATA = "model.skops"
_SCHEMA_FILE = "schema.json"
_ADDRESS = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+(?=\.npy")|^\d+(?=\.npy$)')
# estimators whose predict is the class of the largest probability, so that one call gives both outputs
_ARGMAX = frozenset(
    f"{kind}Classifier"
    for kind in ("HistGradientBoosting", "RandomForest", "ExtraTrees", "DecisionTree", "GradientBoosting")
) | {"LogisticRegression"}
# skops knows the public estimators; what these hold inside (losses, trees) it calls untrusted
_CLASS_OF_SKLEARN = re.compile(r"sklearn\.(?!externals\.)[\w.]+\._?[A-Z]\w*")
# what ordinary estimators hold beside classes: none reads a file, and what a partial calls is listed by itself
_HARMLESS = frozenset(
    {
        "functools.partial",
        "numpy.dtype",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.utils.validation.check_array",
    }
)
_thread = threading.local()
_in_place: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
"""Which models were found to work in place, or not."""


class SklearnFlavour(Flavour):
    """Estimators, pipelines and transformers of scikit-learn and of what follows its conventions."""

    name = "sklearn"
    suffixes = (".skops", ".pkl", ".pickle", ".joblib")

    def takes(self, model: Any) -> bool:
        """Whether it is fitted and fits in: it predicts or transforms."""
        return hasattr(model, "predict") or hasattr(model, "transform")

    def save(self, model: Any, folder: Path, saving: Saving) -> dict[str, Any]:
        """Write a skops file; the same model gives the same bytes."""
        path = folder / MODEL_DATA
        _skops.dump(model, path)
        _make_reproducible(path)
        held = sorted(_skops.get_untrusted_types(file=path))
        return {
            "pickled_model": MODEL_DATA,
            "serialization_format": "skops",
            "sklearn_version": SKLEARN_VERSION,
            "skops_trusted_types": held,
            **code_options((name.rpartition(".")[0] for name in held), folder),
        }

    def python_function(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return how MLflow loads it."""
        code = {"code": options["code"]} if options.get("code") else {}
        return {"loader_module": "mlflow.sklearn", "model_path": MODEL_DATA, "predict_fn": "predict", **code}

    def file_options(self, path: Path) -> dict[str, Any]:
        """Return the options of a lone file; a skops file vouches for what it holds once it is registered."""
        kinds = {".skops": "skops", ".joblib": "joblib"}
        options: dict[str, Any] = {
            "pickled_model": path.name,
            "serialization_format": kinds.get(path.suffix, "pickle"),
        }
        if path.suffix == ".skops":
            options["skops_trusted_types"] = sorted(_skops.get_untrusted_types(file=path))
        return options

    def runs_code(self, options: Mapping[str, Any]) -> bool:
        """Whether the file is a pickle of any kind."""
        return bool(options.get("serialization_format", "skops") != "skops")

    def read(self, folder: Path, options: Mapping[str, Any], trusted: Sequence[str] | None = None) -> Any:
        """Read the estimator, as it was fitted."""
        path = inside(folder, options.get("pickled_model", MODEL_DATA))
        kind = options.get("serialization_format", "skops")
        if kind == "joblib" or path.suffix == ".joblib":
            return importlib.import_module("joblib").load(path)
        if kind != "skops":
            module = importlib.import_module("cloudpickle") if kind == "cloudpickle" else pickle
            with path.open("rb") as file:
                return module.load(file)
        return _skops.load(path, trusted=trusted_types(path, options, trusted))

    def inputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return the features it was fitted with, all numbers as far as anyone knows."""
        names = getattr(model, "feature_names_in_", None)
        if names is not None:
            return tuple(Column(str(name), "FP64") for name in names)
        count = getattr(model, "n_features_in_", None)
        return () if count is None else (Column("input-0", "FP64", shape=(-1, int(count))),)

    def outputs_of(self, model: Any) -> tuple[Column, ...]:
        """Return a classifier's outputs; others are tried."""
        classes = getattr(model, "classes_", None)
        if not isinstance(classes, np.ndarray) or classes.ndim != 1 or not hasattr(model, "predict"):
            return ()
        prediction = Column("prediction", datatype_of(classes.dtype))
        if not hasattr(model, "predict_proba"):
            return (prediction,)
        tried = probabilities_of(np.zeros((1, len(classes))), classes.tolist())
        return (
            prediction,
            *(Column(name, "FP64", shape=(-1, *values.shape[1:])) for name, values in tried.items()),
        )

    def feature_names(self, model: Any) -> Sequence[str] | None:
        """Return the names it was fitted with."""
        names = getattr(model, "feature_names_in_", None)
        return None if names is None else [str(name) for name in names]

    def is_bounded(self, model: Any) -> bool:
        """Whether it and all within it are scikit-learn's."""
        return all(_is_of_sklearn(part) for part in _parts(model))

    def keeps_rows(self, model: Any) -> bool:
        """Whether it is scikit-learn's own, and nothing within it was told to work in place."""
        return self.is_bounded(model) and all(
            getattr(part, "copy", True) is not False for part in _parts(model)
        )

    def takes_matrix(self, model: Any) -> bool:
        """Whether it was fitted without names."""
        return not hasattr(model, "feature_names_in_")

    def open(self, model: Any, files: ModelFiles) -> Predictor:
        """Return the predictor, by way of array functions where they are proved to answer the same."""
        return with_shortcut(FedPredictor(self, model, files), files)

    def answer(self, model: Any, rows: Any, wanted: frozenset[str] | None) -> Answer:
        """Return `prediction` and `probability`, or a transformer's `features`."""
        if not hasattr(_thread, "is_single"):
            _use_one_core()
        if not hasattr(model, "predict"):
            features = model.transform(rows)
            return {"features": np.asarray(features.todense() if hasattr(features, "todense") else features)}
        found: dict[str, Any] = {}
        if wants_probabilities(wanted) and hasattr(model, "predict_proba"):
            given = deepcopy(rows) if _works_in_place(model) else rows  # it may be asked about them again
            probabilities = np.asarray(model.predict_proba(given))
            if probabilities.ndim == 2:  # several outputs have a list of them
                found |= probabilities_of(probabilities, self.classes_of(model))
                if _is_argmax(model):
                    found["prediction"] = model.classes_[probabilities.argmax(axis=1)]
        if "prediction" not in found and (wanted is None or "prediction" in wanted):
            found["prediction"] = np.asarray(model.predict(rows))
        return found


def _is_argmax(model: Any) -> bool:
    last = getattr(model, "_final_estimator", model)
    return type(last).__module__.startswith("sklearn.") and type(last).__name__ in _ARGMAX


def _works_in_place(model: Any) -> bool:
    """Whether what it is given may be otherwise when it has answered; found out once, of what can be remembered."""
    try:
        known = _in_place.get(model)
        if known is None:
            known = _in_place[model] = not FLAVOUR.keeps_rows(model)
    except TypeError:  # a class of one's own that has no hash, or no room for references
        return True
    return known


def _parts(estimator: Any) -> list[Any]:
    """Return an estimator and every estimator within it."""
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return [estimator, *(value for value in parameters.values() if hasattr(value, "get_params"))]


def _is_of_sklearn(estimator: Any) -> bool:
    kind = type(estimator)
    return kind.__module__.startswith("sklearn.") and kind.__name__ != "FunctionTransformer"


def trusted_types(path: Path, options: Mapping[str, Any], trusted: Sequence[str] | None) -> list[str]:
    """Return the types a skops file is trusted with: those its folder names, or the library's and `trusted`.

    Of the library's own, functions are not among them: some read files. A name of `trusted` that ends in `.*` is a package.

    Raises:
        Refused: it holds types that nobody vouched for.
    """
    if trusted is None:
        return list(options.get("skops_trusted_types") or [])
    held = _skops.get_untrusted_types(file=path)
    packages = tuple(name[:-1] for name in trusted if name.endswith(".*"))
    usual = {
        name
        for name in held
        if name in _HARMLESS or _CLASS_OF_SKLEARN.fullmatch(name) or name.startswith(packages)
    }
    strange = sorted(set(held) - usual - set(trusted))
    if strange:
        raise Refused(
            f"the model holds types that nobody vouched for: {', '.join(strange[:5])}",
            code="serving.untrusted_types",
            hint="register it and load the version, or name them in trusted=[…] when you know the model",
            types=strange,
        )
    return list(held)


def _make_reproducible(path: Path) -> None:
    """Rewrite a skops archive so that equal models are equal bytes.

    skops names arrays and references by memory addresses; they become numbers in order of appearance.
    Times and the order of members are fixed. Source: skops 0.16 `io/_utils.py`, `SaveContext.memoize`.
    """
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = members.pop(_SCHEMA_FILE).decode()
    numbers: dict[str, str] = {}
    for address in _ADDRESS.findall(schema):
        numbers.setdefault(address, str(len(numbers)))
    schema = _ADDRESS.sub(lambda found: numbers[found[0]], schema)
    renamed = {
        _ADDRESS.sub(lambda found: numbers.get(found[0], found[0]), name): data
        for name, data in members.items()
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in sorted([*renamed.items(), (_SCHEMA_FILE, schema.encode())]):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def _use_one_core() -> None:
    """Let the calling thread compute on one core.

    A prediction of few rows is too small to share: with 2 cores and 16 clients, boosted trees answered
    326 requests a second with OpenMP's default and 623 with one core each.
    """
    importlib.import_module("threadpoolctl").threadpool_limits(1)
    _thread.is_single = True


FLAVOUR = SklearnFlavour()
