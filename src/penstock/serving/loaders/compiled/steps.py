"""What stands before the last estimator: encoders, scalers, imputers, and tables put together from them.

A step is a function of a table. It raises `NotCompiled` on rows for which the library would raise or warn,
so that the library does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from penstock.serving.loaders.compiled.estimator import Step
from penstock.serving.loaders.compiled.linear import Scaled, Stretched
from penstock.serving.loaders.compiled.table import Array, NotCompiled, Table

Names = Sequence[str] | None

__all__ = ["Names", "NotCompiled", "Step", "compile_step"]


def compile_step(transformer: Any, names: Names) -> Step:
    """Return a transformer as a function of a table.

    Args:
        transformer: a fitted one of scikit-learn, or its word `passthrough`.
        names: the columns' names where they have some; a step that drops or makes columns leaves none.

    Raises:
        NotCompiled: it is of a kind, or set in a way, that is not compiled.
    """
    if isinstance(transformer, str):
        if transformer == "passthrough":
            return _same
        raise NotCompiled(f"the word {transformer!r} for a transformer")
    maker = _MAKERS.get(type(transformer).__name__)
    if maker is None or not type(transformer).__module__.startswith("sklearn."):
        raise NotCompiled(f"{type(transformer).__name__} is not compiled")
    return maker(transformer, names)


def _same(table: Table) -> Table:
    return table


def _pipeline(pipeline: Any, names: Names) -> Step:
    steps: list[Step] = []
    for index, (_, transformer) in enumerate(pipeline.steps):
        steps.append(compile_step(transformer, names if index == 0 else None))

    def run(table: Table) -> Table:
        for step in steps:
            table = step(table)
        return table

    return run


def _column_transformer(transformer: Any, names: Names) -> Step:
    if getattr(transformer, "sparse_output_", False) or transformer.transformer_weights:
        raise NotCompiled("sparse or weighted columns")
    parts: list[tuple[list[int], Step]] = []
    for _, inner, where in transformer.transformers_:
        if isinstance(inner, str) and inner == "drop":
            continue
        indices = _indices(where, names, transformer.n_features_in_)
        if indices:
            picked = [names[index] for index in indices] if names is not None else None
            parts.append((indices, compile_step(inner, picked)))

    def run(table: Table) -> Table:
        found = [step(table.select(indices)).numbers() for indices, step in parts]
        return Table.of_matrix(np.hstack(found) if len(found) > 1 else found[0])

    if not parts:
        raise NotCompiled("every column is dropped")
    return run


def _indices(where: Any, names: Names, width: int) -> list[int]:
    if isinstance(where, slice):
        if isinstance(where.start, str) or isinstance(where.stop, str):
            raise NotCompiled("a slice of names")
        return list(range(width))[where]
    entries = [where] if isinstance(where, str | int) else list(where)
    if entries and all(isinstance(entry, bool | np.bool_) for entry in entries):
        return [index for index, is_taken in enumerate(entries) if is_taken]
    found: list[int] = []
    for entry in entries:
        if isinstance(entry, str):
            if names is None or entry not in names:
                raise NotCompiled(f"a column {entry!r} among columns without names")
            found.append(list(names).index(entry))
        else:
            found.append(int(entry))
    return found


def _ordinal_encoder(encoder: Any, names: Names) -> Step:
    if encoder.min_frequency is not None or encoder.max_categories is not None:
        raise NotCompiled("infrequent categories")
    codes = [_codes(categories) for categories in encoder.categories_]
    for known, categories in zip(codes, encoder.categories_, strict=True):
        if any(isinstance(value, float) and math.isnan(value) for value in categories.tolist()):
            known[None] = float(encoder.encoded_missing_value)
    unknown = float(encoder.unknown_value) if encoder.handle_unknown == "use_encoded_value" else None

    def run(table: Table) -> Table:
        found = np.empty((table.row_count, len(codes)))
        for index, known in enumerate(codes):
            found[:, index] = _encoded(table.column(index), known, unknown)
        return Table.of_matrix(found)

    return run


def _one_hot_encoder(encoder: Any, names: Names) -> Step:
    if encoder.min_frequency is not None or encoder.max_categories is not None or encoder.drop is not None:
        raise NotCompiled("infrequent or dropped categories")
    if encoder.handle_unknown not in ("ignore", "error"):
        raise NotCompiled(f"handle_unknown={encoder.handle_unknown!r}")
    codes = [_codes(categories) for categories in encoder.categories_]
    widths = [len(categories) for categories in encoder.categories_]
    unknown = -1.0 if encoder.handle_unknown == "ignore" else None

    def run(table: Table) -> Table:
        found = np.zeros((table.row_count, sum(widths)))
        start = 0
        for index, (known, width) in enumerate(zip(codes, widths, strict=True)):
            encoded = _encoded(table.column(index), known, unknown).astype(np.intp)
            rows = np.nonzero(encoded >= 0)[0]
            found[rows, start + encoded[rows]] = 1.0
            start += width
        return Table.of_matrix(found)

    return run


def _codes(categories: Array) -> dict[Any, float]:
    return {
        (None if _is_missing(value) else value): float(code) for code, value in enumerate(categories.tolist())
    }


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _encoded(column: Array, known: dict[Any, float], unknown: float | None) -> Array:
    values = column.tolist()
    if column.dtype.kind in "fO":
        values = [None if _is_missing(value) else value for value in values]
    if unknown is None:
        try:
            return np.array([known[value] for value in values], dtype=np.float64)
        except KeyError:
            raise NotCompiled("a category that training did not know") from None
    return np.array([known.get(value, unknown) for value in values], dtype=np.float64)


def _standard_scaler(scaler: Any, names: Names) -> Step:
    return Scaled(scaler.mean_ if scaler.with_mean else None, scaler.scale_ if scaler.with_std else None)


def _min_max_scaler(scaler: Any, names: Names) -> Step:
    low, high = map(float, scaler.feature_range)
    return Stretched(scaler.scale_, scaler.min_, (low, high) if scaler.clip else None)


def _simple_imputer(imputer: Any, names: Names) -> Step:
    is_missing = imputer.missing_values
    statistics = np.asarray(imputer.statistics_)
    if imputer.add_indicator or statistics.dtype.kind not in "bifu" or not np.isnan(is_missing):
        raise NotCompiled("an imputer of other than numbers, or with an indicator")
    if np.isnan(statistics).any():
        raise NotCompiled("an imputer that drops columns")

    def run(table: Table) -> Table:
        numbers = table.numbers()
        missing = np.isnan(numbers)
        return Table.of_matrix(np.where(missing, statistics, numbers) if missing.any() else numbers)

    return run


def _function(transformer: Any, names: Names) -> Step:
    if transformer.func is None:
        return _same
    keywords = getattr(transformer.func, "keywords", None)
    if getattr(transformer.func, "func", transformer.func).__name__ == "check_array" and keywords is not None:
        return lambda table: Table.of_matrix(table.numbers())
    raise NotCompiled("a function of the user's")


_MAKERS: dict[str, Callable[[Any, Names], Step]] = {
    "Pipeline": _pipeline,
    "ColumnTransformer": _column_transformer,
    "OrdinalEncoder": _ordinal_encoder,
    "OneHotEncoder": _one_hot_encoder,
    "StandardScaler": _standard_scaler,
    "MinMaxScaler": _min_max_scaler,
    "SimpleImputer": _simple_imputer,
    "FunctionTransformer": _function,
}
