"""The scikit-learn flavour: an estimator in a skops or pickle file.

skops files load only the types they are trusted for; a pickle runs its own code, which is why a model
folder that holds one must come from the registry.
"""

from __future__ import annotations

import importlib
import pickle
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from penstock.base.errors import Invalid, Refused
from penstock.records.classes import PROBABILITY, probability_output
from penstock.records.signature import Signature
from penstock.serving.loaders.model import Array, Columns, ModelFiles, numpy_dtype

# estimators whose predict is the class of the largest probability, so that one call gives both outputs
_ARGMAX = frozenset(
    f"{kind}{family}"
    for family in ("Classifier",)
    for kind in ("HistGradientBoosting", "RandomForest", "ExtraTrees", "DecisionTree", "GradientBoosting")
) | {"LogisticRegression"}
# skops knows the public estimators; what these hold inside (losses, trees) it calls untrusted
_CLASS_OF_SKLEARN = re.compile(r"sklearn\.(?!externals\.)[\w.]+\.[A-Z]\w*")
_thread = threading.local()
_POLARS: dict[str, Any] = {
    "BOOL": pl.Boolean,
    "FP16": pl.Float32,
    "FP32": pl.Float32,
    "FP64": pl.Float64,
    "BYTES": pl.String,
    **{f"INT{bits}": getattr(pl, f"Int{bits}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": getattr(pl, f"UInt{bits}") for bits in (8, 16, 32, 64)},
}


def load_sklearn(files: ModelFiles) -> SklearnPredictor:
    """Load an estimator; the outputs `prediction` and `probability` are what it can give.

    Raises:
        Invalid: the file is missing, does not load, or cannot give the signature's outputs.
    """
    path = files.path / str(files.options.get("pickled_model", "model.skops"))
    try:
        estimator = _read(path, files.options)
    except Exception as error:
        raise _does_not_load(files, f"{type(error).__name__}: {error}") from error
    methods = {"prediction": "predict", PROBABILITY: "predict_proba"}
    methods |= dict.fromkeys(map(probability_output, _classes_of(estimator) or ()), "predict_proba")
    for output in files.signature.outputs:
        method = methods.get(output.name)
        if method is None or not hasattr(estimator, method):
            raise _does_not_load(files, f"it cannot give the output {output.name!r}")
    return SklearnPredictor(estimator, files.signature)


def is_pickle(options: dict[str, Any]) -> bool:
    """Say whether the flavour's file runs code of its own when it is read."""
    return bool(options.get("serialization_format", "skops") != "skops")


def read_estimator(folder: Path, options: dict[str, Any], trusted: Sequence[str] | None = None) -> Any:
    """Read the estimator of a model folder, as it was fitted.

    Args:
        trusted: the types a skops file may hold beside skops's own and scikit-learn's classes; by default
            those that the folder names.

    Raises:
        Refused: it holds others.
        Exception: whatever reading a damaged file raises.
    """
    path = folder / str(options.get("pickled_model", "model.skops"))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Refused(f"{path} lies outside of its model", code="serving.bad_path")
    if trusted is not None and not is_pickle(options):
        import skops.io

        held = skops.io.get_untrusted_types(file=path)
        usual = {name for name in held if _CLASS_OF_SKLEARN.fullmatch(name)}
        strange = sorted(set(held) - usual - set(trusted))
        if strange:
            raise Refused(
                f"the model holds types that nobody vouched for: {', '.join(strange[:5])}",
                code="serving.untrusted_types",
                hint="register it and load the version, or name them in trusted=[…] when you know the model",
                types=strange,
            )
        options = {**options, "skops_trusted_types": held}
    return _read(path, options)


def _read(path: Path, options: dict[str, Any]) -> Any:
    if is_pickle(options):
        with path.open("rb") as file:
            return pickle.load(file)
    import skops.io

    return skops.io.load(path, trusted=list(options.get("skops_trusted_types") or []))


def _use_one_core() -> None:
    """Let the calling thread compute on one core.

    A prediction of few rows is too small to share: with 2 cores and 16 clients, boosted trees answered
    326 requests a second with OpenMP's default and 623 with one core each.
    """
    importlib.import_module("threadpoolctl").threadpool_limits(1)
    _thread.is_single = True


def _does_not_load(files: ModelFiles, reason: str) -> Invalid:
    return Invalid(
        f"{files.name} version {files.version} does not load: {reason}",
        code="serving.model_does_not_load",
        hint="load it where it was trained, with the same package versions, and register it again",
        model=files.name,
        version=files.version,
    )


def _classes_of(estimator: Any) -> tuple[Any, ...] | None:
    """Return a classifier's classes in its order; None of what has none, or several lists."""
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return None
    return tuple(classes.tolist())


def _parts(estimator: Any) -> list[Any]:
    """Return an estimator and every estimator within it."""
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return [estimator, *(value for value in parameters.values() if hasattr(value, "get_params"))]


def _is_of_sklearn(estimator: Any) -> bool:
    kind = type(estimator)
    return kind.__module__.startswith("sklearn.") and kind.__name__ != "FunctionTransformer"


class SklearnPredictor:
    """An estimator behind the predictor's role. `classes` are a classifier's, in its order."""

    def __init__(self, estimator: Any, signature: Signature) -> None:
        self._estimator = estimator
        self._inputs = signature.inputs
        self._outputs = {column.name: column.datatype for column in signature.outputs}
        self._frame = self._feed(estimator)
        last = getattr(estimator, "_final_estimator", estimator)
        is_argmax = type(last).__module__.startswith("sklearn.") and type(last).__name__ in _ARGMAX
        self.classes = _classes_of(estimator)
        self._columns_of = {probability_output(one): index for index, one in enumerate(self.classes or ())}
        self._needs_probabilities = any(name != "prediction" for name in self._outputs)
        self._shared = is_argmax and self._needs_probabilities
        self.is_bounded = all(_is_of_sklearn(part) for part in _parts(estimator))
        """Whether it runs scikit-learn's code alone, which always comes to an end."""

    def _feed(self, estimator: Any) -> Callable[[Columns, int], Any]:
        is_numeric = all(column.datatype != "BYTES" for column in self._inputs)
        return self._matrix if is_numeric and not hasattr(estimator, "feature_names_in_") else self._table

    def _table(self, columns: Columns, row_count: int) -> pl.DataFrame:
        series = []
        for column in self._inputs:
            values = columns.get(column.name)
            if values is None:
                series.append(pl.Series(column.name, np.full(row_count, np.nan)))
            else:
                series.append(pl.Series(column.name, values, dtype=_POLARS[column.datatype]))
        return pl.DataFrame(series)

    def _matrix(self, columns: Columns, row_count: int) -> Array:
        matrix = np.empty((row_count, len(self._inputs)))
        for index, column in enumerate(self._inputs):
            values = columns.get(column.name)
            matrix[:, index] = np.nan if values is None else values
        return matrix

    def predict(self, columns: Columns, row_count: int) -> dict[str, Array]:
        """Return what the signature says: `prediction`, `probability` (of the last class) or one of each class."""
        if not hasattr(_thread, "is_single"):
            _use_one_core()
        table = self._frame(columns, row_count)
        found: dict[str, Array] = {}
        if self._needs_probabilities:
            probabilities = self._estimator.predict_proba(table)
            found[PROBABILITY] = np.ascontiguousarray(probabilities[:, -1])
            if PROBABILITY not in self._outputs:
                found |= {name: probabilities[:, index] for name, index in self._columns_of.items()}
            if self._shared:
                found["prediction"] = self._estimator.classes_[probabilities.argmax(axis=1)]
        if "prediction" in self._outputs and "prediction" not in found:
            found["prediction"] = self._estimator.predict(table)
        return {
            name: np.asarray(found[name]).reshape(row_count).astype(numpy_dtype(datatype), copy=False)
            for name, datatype in self._outputs.items()
        }
