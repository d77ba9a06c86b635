"""How well one column alone tells a label, as `leakage` asks it, and two tables made alike so that rows can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.records.classes import class_name

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
    """Return both tables with columns of one type each: numbers as numbers, as fine as the coarser, NaN as missing.

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
        # 0.1 of Float32 is another number in Float64
        return next(
            (kind for name in ("Float16", "Float32") for kind in both if str(kind) == name), pl.Float64
        )
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
    asked = _Classes(len(kept), _numbered(learned, kept), _numbered(truth, kept))
    return {name: (_alone(train[name], test[name], asked), _missing(test[name], asked)) for name in names}, ""


@dataclass(frozen=True)
class _Classes:
    """The classes that columns are held against: how many, and which one each row is of, `count` where of none."""

    count: int
    learned: NDArray[np.intp]
    truth: NDArray[np.intp]

    def best(self, ranks: NDArray[np.float64]) -> float:
        """Return the largest ROC AUC of a class against the rest, either way round, of held-out rows by their ranks."""
        sums = np.bincount(self.truth, weights=ranks, minlength=self.count + 1)
        rows = np.bincount(self.truth, minlength=self.count + 1)
        return max(_auc(sums[one], rows[one], len(ranks)) for one in range(self.count))


def _numbered(names: NDArray[np.str_], classes: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return the place of each row's class among `classes`, which are sorted; their count where it is none of them."""
    at = np.minimum(np.searchsorted(classes, names), len(classes) - 1)
    return np.where(classes[at] == names, at, len(classes))


def _missing(test: pl.Series, classes: _Classes) -> float:
    """Return the ROC AUC of whether a value is missing."""
    if not test.null_count():
        return 0.5
    return classes.best(_ranks(test.is_null().to_numpy().astype(np.float64), np.ones(len(test))))


def _alone(train: pl.Series, test: pl.Series, classes: _Classes) -> float:
    """Return the ROC AUC of one column, either way round; of text, of its values' shares of the class in the training table."""
    import polars as pl

    if test.dtype.is_numeric() and test.n_unique() > 2:
        raw = test.cast(pl.Float64)
        return classes.best(_ranks(raw.fill_null(raw.median()).to_numpy(), np.ones(len(test))))
    texts = train.cast(pl.String)
    values = texts.unique()
    if len(values) > CODED_VALUES:
        return 0.5
    known = pl.DataFrame({"value": values, "code": np.arange(len(values))})
    taught = _rows_by_value(texts, classes.learned, known, classes.count)
    rows = _rows_by_value(test.cast(pl.String), classes.truth, known, classes.count)
    shares = np.full(rows.shape, 0.5)  # what was never seen tells nothing
    totals = taught.sum(axis=1, keepdims=True)
    np.divide(taught, totals, out=shares, where=totals > 0)
    counts = rows.sum(axis=1)
    return max(
        _auc(float(_ranks(shares[:, one], counts) @ rows[:, one]), rows[:, one].sum(), len(test))
        for one in range(classes.count)
    )


def _rows_by_value(
    texts: pl.Series, numbers: NDArray[np.intp], known: pl.DataFrame, count: int
) -> NDArray[np.float64]:
    """Return how many rows have each known value, and at last any other, (values + 1, classes + 1)."""
    import polars as pl

    found = pl.DataFrame({"value": texts}).join(
        known, on="value", how="left", nulls_equal=True, maintain_order="left"
    )
    codes = found["code"].fill_null(known.height).to_numpy()
    shape = (known.height + 1, count + 1)
    cells = np.bincount(codes * shape[1] + numbers, minlength=shape[0] * shape[1])
    return cells.reshape(shape).astype(np.float64)


def _ranks(values: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean rank, from 1 on, of the rows of each value; `counts` says how many rows have it."""
    _, at = np.unique(values, return_inverse=True)
    rows = np.bincount(at, weights=counts)
    ranks: NDArray[np.float64] = (np.cumsum(rows) - (rows - 1) / 2)[at]
    return ranks


def _auc(rank_sum: float, count: float, total: int) -> float:
    """Return the ROC AUC, either way round, of `count` of all rows whose ranks have this sum.

    **Source**: Mann and Whitney (1947), with mean ranks for ties.
    """
    found = float((rank_sum - count * (count + 1) / 2) / (count * (total - count)))
    return max(found, 1 - found)
