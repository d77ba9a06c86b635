"""`leakage` finds copied rows however fine their numbers are written, and tests columns once, whatever the classes are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from penstock.registry.gates import columns_alone
from penstock.registry.gates.columns_alone import alike, tell_alone
from registry.gates.asking import ask


def measured(count: int, seed: int = 1) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    return pl.DataFrame({"x": generator.normal(size=count), "y": generator.integers(0, 2, count)})


@pytest.mark.parametrize("coarse", [pl.Float32, pl.Float16] if hasattr(pl, "Float16") else [pl.Float32])
@pytest.mark.parametrize("side", ["reference", "test"])
def test_rows_copied_in_a_coarser_type_are_found(
    tmp_path: Path, coarse: type[pl.DataType], side: str
) -> None:
    tables = {"reference": measured(300), "test": measured(300)}
    tables[side] = tables[side].with_columns(pl.col("x").cast(coarse))
    train, test = alike(tables["reference"], tables["test"], ["x", "y"], ("reference", "test"))
    assert train.equals(test)
    if coarse == pl.Float32:  # a Parquet file of 16 bits is not everywhere
        found = ask("leakage: {max_auc: null}", root=tmp_path, tables=tables)
        assert (found.status, found.observed) == ("fail", 1.0)


def test_whole_numbers_and_decimals_are_those_of_a_coarser_type() -> None:
    fine = pl.DataFrame({"n": [2**24 + 1, 3, None], "d": ["0.1", "2.5", None]})
    fine = fine.with_columns(pl.col("d").cast(pl.Decimal(6, 2)))
    coarse = fine.cast(pl.Float32)
    for pair in ((fine, coarse), (coarse, fine)):
        one, other = alike(*pair, ["n", "d"], ("one", "other"))
        assert one.equals(other)


def told(seed: int, classes: int, count: int) -> pl.DataFrame:
    """A table of columns of many kinds, some of which tell something of the label."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, classes, count)
    x = generator.normal(size=count)
    lost = generator.random(count) < 0.1
    return pl.DataFrame(
        {
            "number": x + 0.3 * y,
            "ties": np.round(x, 1),
            "whole": generator.integers(0, 5, count),
            "flag": (y == 0) ^ (generator.random(count) < 0.2),
            "two": ((y == 1) ^ (generator.random(count) < 0.2)).astype(int),
            "text": [
                None if gone else f"k{k}"
                for gone, k in zip(lost, y + generator.integers(0, 30, count), strict=True)
            ],
            "ids": [f"u{k}" for k in generator.integers(0, 9000, count)],
            "gaps": pl.Series([None if gone else one for gone, one in zip(lost & (y == 0), x, strict=True)]),
            "nothing": pl.Series([None] * count, dtype=pl.Float64),
            "same": [1.0] * count,
            "y": [f"class {one}" for one in y],
        }
    )


def plain_auc(truth: np.ndarray, values: np.ndarray) -> float:
    found = float(roc_auc_score(truth, values))
    return max(found, 1 - found)


def plainly(train: pl.DataFrame, test: pl.DataFrame, name: str, kept: list[str]) -> tuple[float, float]:
    """What `tell_alone` says of a column, class by class and step by step."""
    alone, missing = [], []
    for one in kept:
        truth = (test["y"] == one).to_numpy()
        missing.append(plain_auc(truth, test[name].is_null().to_numpy().astype(float)))
        if test[name].dtype.is_numeric() and test[name].n_unique() > 2:
            values = test[name].cast(pl.Float64)
            alone.append(plain_auc(truth, values.fill_null(values.median()).to_numpy()))
            continue
        learned = pl.DataFrame({"value": train[name].cast(pl.String), "is": train["y"] == one})
        shares = dict(learned.group_by("value").agg(pl.col("is").mean()).iter_rows())
        coded = [shares.get(text, 0.5) for text in test[name].cast(pl.String)]
        alone.append(0.5 if len(shares) > 1000 else plain_auc(truth, np.array(coded)))
    return max(alone), max(missing)


@pytest.mark.parametrize("seed", range(8))
def test_columns_tell_what_they_tell_class_by_class(seed: int) -> None:
    train, test = told(seed, 2 + seed, 1500), told(seed + 100, 2 + seed, 160)
    names = [name for name in test.columns if name != "y"]
    counts = dict(test["y"].value_counts().iter_rows())
    kept = sorted(one for one, count in counts.items() if count >= 10)
    found, words = tell_alone(train, test, names, "y", "test.parquet")
    assert (set(found), words) == (set(names), "")
    for name in names:
        assert found[name] == pytest.approx(plainly(train, test, name, kept[-1:] if seed == 0 else kept)), (
            name
        )


def test_more_classes_ask_no_column_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {"ranked": 0, "cast": 0}
    cast, unique = pl.Series.cast, np.unique

    def counted_cast(*args: object, **more: object) -> pl.Series:
        calls["cast"] += 1
        return cast(*args, **more)  # type: ignore[arg-type]

    def counted_unique(*args: object, **more: object) -> object:
        calls["ranked"] += 1
        return unique(*args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(pl.Series, "cast", counted_cast)
    monkeypatch.setattr(columns_alone.np, "unique", counted_unique)
    seen = []
    for classes in (3, 12):
        calls.update(ranked=0, cast=0)
        columns = ["number", "ties", "whole", "gaps"]
        tell_alone(told(1, classes, 900), told(2, classes, 600), columns, "y", "test.parquet")
        seen.append(dict(calls))
    assert seen[0] == seen[1]
    assert seen[0]["ranked"] == 1 + 4 + 1  # the classes, each column, and where one has gaps
