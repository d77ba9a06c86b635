"""How well one column alone tells a label, as `leakage` asks it, and two tables made alike so that rows can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.records.classes import class_name
from penstock.stats.significance import score

if TYPE_CHECKING:  # with tables only, and settings are read by every command
    import polars as pl
    from numpy.typing import NDArray

CODED_VALUES = 1000
CLASSES_TOLD = 20
"""With more different labels than that they are numbers, or names: no classes that a column is held against."""
CLASS_ROWS = 10
"""Of more than two classes, one with fewer held-out rows is told by a column by chance."""


def alike(
    train: pl.DataFrame, test: pl.DataFrame, names: Sequence[str], called: tuple[str, str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return both tables with columns of one type each: numbers as numbers, NaN as missing.

    Raises:
        Invalid: a column has types that cannot be compared.
    """
    import polars as pl

    for name in dict.fromkeys(names):
        ours, theirs = test[name].dtype, train[name].dtype
        if ours != theirs:
            common = _common(theirs, ours)
            if common is None:
                raise Invalid(
                    f"{name!r} is {theirs} in {called[0]} and {ours} in {called[1]}, so their rows cannot be compared",
                    code="gate.types_differ",
                    hint="write the column alike in both tables, or name others as `columns:` of the leakage gate",
                    column=name,
                )
            train, test = (one.with_columns(pl.col(name).cast(common)) for one in (train, test))
        if test[name].dtype.is_float():
            train, test = (one.with_columns(pl.col(name).fill_nan(None)) for one in (train, test))
    return train, test


def _common(one: pl.DataType, other: pl.DataType) -> pl.DataType | type[pl.DataType] | None:
    import polars as pl

    both = (one, other)
    if pl.Null in both:
        return other if one == pl.Null else one
    if all(kind.is_integer() or kind == pl.Boolean for kind in both) and pl.UInt64 not in both:
        return pl.Int64
    if all(kind.is_numeric() or kind == pl.Boolean for kind in both):
        return pl.Float64
    if all(kind in (pl.String, pl.Categorical, pl.Enum) for kind in both):
        return pl.String
    return None


def tell_alone(
    train: pl.DataFrame, test: pl.DataFrame, names: Sequence[str], label: str, table: str
) -> tuple[dict[str, tuple[float, float]], str]:
    """Return of each column the ROC AUC, in [0.5, 1], of its values and of whether they are missing.

    It is the largest of one class against the rest. Where labels are no classes there are none, and words that say why.

    Args:
        train: learned from: a value of text counts as its share of the class there.
        test: the held-out rows, its columns of the same types (`alike`).

    Raises:
        Invalid: a held-out row has no label, or all have the same.
    """
    if test[label].null_count():
        raise Invalid(
            f"{test[label].null_count()} of {counted(test.height, 'row')} of {table} have no {label!r}",
            code="gate.no_label",
            hint="judge rows whose label is known: leave the others out where the table is made",
            column=label,
        )
    count = test[label].n_unique()
    if count < 2:
        raise Invalid(
            f"all {counted(test.height, 'row')} of {table} have the same {label!r}, so no column can be held against it",
            code="gate.one_class",
            hint="judge by rows of both classes, or write `max_auc: null` for the leakage gate",
        )
    if count > CLASSES_TOLD:
        return (
            {},
            f"; no column was tested alone, since {label!r} has {count} different values, which are no classes",
        )
    train = train.drop_nulls(label)
    truth, learned = (np.array([class_name(one) for one in each[label].to_list()]) for each in (test, train))
    classes, rows = np.unique(truth, return_counts=True)
    kept = classes[-1:] if len(classes) == 2 else classes[rows >= CLASS_ROWS]
    if not len(kept):
        return {}, f"; no column was tested alone, since no class of {label!r} has {CLASS_ROWS} held-out rows"
    found = {}
    for name in names:
        lost = test[name].is_null().to_numpy().astype(np.float64)
        each = [
            (_alone(train[name], test[name], learned == one, truth == one), _either_way(truth == one, lost))
            for one in kept
        ]
        found[name] = (max(value for value, _ in each), max(missing for _, missing in each))
    return found, ""


def _alone(train: pl.Series, test: pl.Series, learned: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the ROC AUC of one column, either way round; of text, of its values' shares of the class in the training table."""
    import polars as pl

    if test.dtype.is_numeric() and test.n_unique() > 2:
        raw = test.cast(pl.Float64)
        return _either_way(truth, raw.fill_null(raw.median()).to_numpy())
    shares = (
        pl.DataFrame({"value": train.cast(pl.String), "is": learned})
        .group_by("value")
        .agg(pl.col("is").mean())
    )
    if shares.height > CODED_VALUES:
        return 0.5
    known = dict(shares.iter_rows())
    values = np.array([known.get(one, 0.5) for one in test.cast(pl.String).to_list()], dtype=np.float64)
    return _either_way(truth, values)


def _either_way(truth: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    found = score("roc_auc", truth.astype(np.float64), values)
    return max(found, 1 - found)
