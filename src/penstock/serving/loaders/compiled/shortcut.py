"""scikit-learn's common estimators asked by way of plain array functions, where those were proved equal to it.

The proof is made when a model is loaded: on its example rows, on rows mixed and moved from them, and on rows with
what is missing or unknown. What the functions do not answer, the library does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from penstock.records.classes import PROBABILITY
from penstock.records.signature import Signature
from penstock.serving.loaders.compiled.compiling import compile_estimator, perturbed
from penstock.serving.loaders.compiled.proved import Facts, ShortcutPredictor, table_of
from penstock.serving.loaders.fed import FedPredictor, example_columns, row_count_of
from penstock.serving.loaders.model import Array, Columns, ModelFiles, Predictor

PROVED_ROWS = 64
PROVED_COLUMNS = 64
"""Columns that are tried missing or unknown, one after the other."""


def with_shortcut(library: FedPredictor, files: ModelFiles) -> Predictor:
    """Return a predictor that is faster and answers the same, or the one that was given.

    Why a model has no shortcut is told in the log.
    """
    signature, estimator = library.signature, library.model
    features = getattr(estimator, "feature_names_in_", None)
    names = _order(signature, features)
    columns = example_columns(signature, files.example)
    asked = [own for _, own in library.outputs if own != "prediction" and not own.startswith(PROBABILITY)]
    if names is None or columns is None or asked:
        return library
    if not set(names) <= set(columns):
        return library
    examples = [
        (table_of(rows, names, count, is_tensor=signature.inputs[0].is_tensor), library.feed(rows, count))
        for rows, count in _proofs(signature, columns, names)
    ]
    compiled = compile_estimator(estimator, None if features is None else names, examples)
    return (
        library
        if compiled is None
        else ShortcutPredictor(Facts.of(library, names), compiled, lambda: library)
    )


def _order(signature: Signature, features: Any) -> tuple[str, ...] | None:
    """Return the inputs' names in the estimator's order, None where its input is no table."""
    inputs = signature.inputs
    if any(column.meaning for column in inputs):
        return None
    if inputs[0].is_tensor:
        is_matrix = len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].datatype != "BYTES"
        return (inputs[0].name,) if is_matrix and features is None else None
    names = tuple(column.name for column in inputs)
    if features is None:
        return names if all(column.datatype != "BYTES" for column in inputs) else None
    return tuple(features) if set(features) == set(names) else None


def _proofs(
    signature: Signature, columns: Columns, names: Sequence[str]
) -> Iterator[tuple[dict[str, Array], int]]:
    """Yield rows to compare both on: the example's, more like them, and those with odd values."""
    row_count = row_count_of(signature, columns)
    own = {name: columns[name] for name in names}
    yield own, row_count
    random = np.random.default_rng(0)
    yield {name: _more(values, random) for name, values in own.items()}, PROVED_ROWS
    arrays = list(own.values())
    taken = signature.inputs[0]
    if taken.is_tensor and not taken.required and arrays[0].dtype.kind == "f":
        for index in range(min(arrays[0].shape[1], PROVED_COLUMNS)):
            matrix = arrays[0].copy()
            matrix[: max(1, row_count // 2), index] = np.nan
            yield {taken.name: matrix}, row_count
    if arrays[0].ndim == 1:
        for changed in islice(perturbed(arrays, row_count), 2 * PROVED_COLUMNS):
            yield dict(zip(names, changed, strict=True)), row_count


def _more(values: Array, random: np.random.Generator) -> Array:
    """Return rows drawn from a column's or matrix's own, numbers with a fraction moved as far as they vary."""
    drawn = values[random.integers(0, len(values), PROVED_ROWS)]
    if values.dtype.kind != "f":
        return drawn
    present = np.nan_to_num(values)
    spread = present.std(axis=0) if len(values) > 1 else np.abs(present).max(axis=0)
    moved = drawn + random.normal(size=drawn.shape) * np.where(spread > 0, spread, 1.0)
    return moved.astype(values.dtype)
