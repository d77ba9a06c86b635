"""An estimator as functions of columns: what it is made of, and the proof that it says the same.

It stands on attributes that scikit-learn's releases may rename; a name that is missing means that the
library is asked, as does any difference in the proof.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from penstock.serving.loaders.compiled.estimator import CompiledEstimator, of_linear
from penstock.serving.loaders.compiled.linear import Linear, Logistic
from penstock.serving.loaders.compiled.steps import Step, compile_step
from penstock.serving.loaders.compiled.table import Array, Matrix, NotCompiled, Table
from penstock.serving.loaders.compiled.trees import boosted_values, forest_values, tree_values

logger = logging.getLogger(__name__)
CHUNK_ROWS = 4096
"""Boosted trees are walked for so many rows at a time: their working copy is rows times trees."""


def compile_estimator(
    estimator: Any, names: Sequence[str] | None, examples: Sequence[tuple[Table, Any]]
) -> CompiledEstimator | None:
    """Return an estimator as array functions, or None where the library is to be asked.

    Args:
        estimator: a fitted one of scikit-learn.
        names: its columns' names, None where it was fitted without.
        examples: tables, each with the same rows as the library takes them, on which both must agree.
    """
    try:
        compiled = _compile(estimator, names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checked = sum(_prove(compiled, estimator, table, given) for table, given in examples)
        if not checked:
            raise NotCompiled("no example row to prove it on")
    except NotCompiled as reason:
        logger.info("%s is asked through scikit-learn: %s", type(estimator).__name__, reason)
        return None
    except (AttributeError, ImportError, TypeError, ValueError, IndexError, KeyError) as error:
        logger.info("%s is asked through scikit-learn: %r", type(estimator).__name__, error)
        return None
    return compiled


def _compile(estimator: Any, names: Sequence[str] | None) -> CompiledEstimator:
    steps: list[Step] = []
    if type(estimator).__name__ == "Pipeline":
        for index, (_, transformer) in enumerate(estimator.steps[:-1]):
            steps.append(compile_step(transformer, names if index == 0 else None))
        estimator = estimator.steps[-1][1]
    if not type(estimator).__module__.startswith("sklearn."):
        raise NotCompiled(f"{type(estimator).__name__} is not scikit-learn's")
    maker = _ENDS.get(type(estimator).__name__)
    if maker is None:
        raise NotCompiled(f"{type(estimator).__name__} is not compiled")
    return maker(estimator, tuple(steps), names if not steps else None)


def _linear(estimator: Any, steps: tuple[Step, ...], names: Sequence[str] | None) -> CompiledEstimator:
    weights = np.ascontiguousarray(np.atleast_2d(estimator.coef_).T, dtype=np.float64)
    intercept = np.asarray(estimator.intercept_, dtype=np.float64)
    return of_linear(Linear(weights, intercept, is_single=np.ndim(estimator.coef_) == 1), steps)


def _logistic(estimator: Any, steps: tuple[Step, ...], names: Sequence[str] | None) -> CompiledEstimator:
    weights = np.ascontiguousarray(estimator.coef_.T, dtype=np.float64)
    intercept = np.asarray(estimator.intercept_, dtype=np.float64)
    return of_linear(Logistic(weights, intercept, estimator.classes_), steps)


def _boosted(estimator: Any, steps: tuple[Step, ...], names: Sequence[str] | None) -> CompiledEstimator:
    if estimator._preprocessor is not None:
        steps = (*steps, compile_step(estimator._preprocessor, names))
    raw = _in_chunks(boosted_values(estimator))
    loss = estimator._loss
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return CompiledEstimator(None, steps, None, lambda matrix: loss.link.inverse(raw(matrix).ravel()))

    def probabilities(matrix: Matrix) -> Array:
        found: Array = loss.predict_proba(raw(matrix))
        return found

    def values(matrix: Matrix) -> Array:
        taken: Array = classes[probabilities(matrix).argmax(axis=1)]
        return taken

    return CompiledEstimator(classes, steps, probabilities, values)


def _in_chunks(values: Callable[[Matrix], Array]) -> Callable[[Matrix], Array]:
    def run(matrix: Matrix) -> Array:
        if len(matrix) <= CHUNK_ROWS:
            return values(matrix)
        starts = range(0, len(matrix), CHUNK_ROWS)
        return np.concatenate([values(matrix[start : start + CHUNK_ROWS]) for start in starts])

    return run


def _counted(make: Callable[[Any], Callable[[Matrix], Array]]) -> Maker:
    def maker(estimator: Any, steps: tuple[Step, ...], names: Sequence[str] | None) -> CompiledEstimator:
        shares = make(estimator)
        classes = getattr(estimator, "classes_", None)
        if classes is None:
            return CompiledEstimator(None, steps, None, lambda matrix: shares(matrix)[:, 0])

        def values(matrix: Matrix) -> Array:
            taken: Array = classes[shares(matrix).argmax(axis=1)]
            return taken

        return CompiledEstimator(classes, steps, shares, values)

    return maker


Maker = Callable[[Any, tuple[Step, ...], Sequence[str] | None], CompiledEstimator]
_ENDS: dict[str, Maker] = {
    **dict.fromkeys(
        ("LinearRegression", "Ridge", "Lasso", "ElasticNet", "BayesianRidge", "SGDRegressor"), _linear
    ),
    **dict.fromkeys(("LogisticRegression", "LogisticRegressionCV"), _logistic),
    **dict.fromkeys(("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"), _boosted),
    **{
        f"{family}{kind}": _counted(forest_values)
        for family in ("RandomForest", "ExtraTrees")
        for kind in ("Classifier", "Regressor")
    },
    **{f"DecisionTree{kind}": _counted(tree_values) for kind in ("Classifier", "Regressor")},
}


def _prove(compiled: CompiledEstimator, estimator: Any, table: Table, given: Any) -> int:
    """Compare both on a table; return how many answers were compared.

    Raises:
        NotCompiled: they differ.
    """
    compared = 0
    for name in ("predict", "predict_proba"):
        if not hasattr(estimator, name) or (name == "predict_proba" and compiled.classes is None):
            continue
        try:
            ours = getattr(compiled, name)(table)
        except NotCompiled:
            continue
        try:
            theirs = np.asarray(getattr(estimator, name)(given))
        except Exception as error:
            raise NotCompiled(f"it answers rows that the library refuses: {error}") from error
        if ours.shape != theirs.shape or not _are_equal(ours, theirs):
            raise NotCompiled(f"its {name} differs from the library's on an example")
        compared += 1
    return compared


def _are_equal(ours: Array, theirs: Array) -> bool:
    if ours.dtype.kind == "f" and theirs.dtype.kind == "f":
        rtol, atol = (1e-4, 1e-6) if theirs.dtype == np.float32 else (1e-9, 1e-12)
        return bool(np.allclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=True))
    return bool(np.array_equal(ours, theirs))


def perturbed(columns: Sequence[Array], row_count: int) -> Iterator[list[Array]]:
    """Return the rows with each column in turn missing or unknown, as live requests may bring it."""
    for index, column in enumerate(columns):
        for odd in (None, "penstock: not a category") if column.dtype == object else (np.nan,):
            if column.dtype.kind not in "fO":
                continue
            changed = column.copy()
            changed[: max(1, row_count // 2)] = odd
            yield [changed if place == index else other for place, other in enumerate(columns)]
