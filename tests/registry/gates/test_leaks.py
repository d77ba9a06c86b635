"""`leakage` tests every column alone whatever the labels are, and is not silent where it could not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from registry.gates.asking import ask


def rows(count: int, seed: int, labels: list[object]) -> pl.DataFrame:
    """A table whose column `after` is the label, under another name, and `wind` has nothing of it."""
    generator = np.random.default_rng(seed)
    code = generator.integers(0, len(labels), count)
    return pl.DataFrame(
        {
            "wind": generator.normal(10, 3, count),
            "after": [f"k{one}" for one in code],
            "y": [labels[one] for one in code],
        }
    )


@pytest.mark.parametrize(
    "labels", [[0, 1], [False, True], ["no", "yes"], [1, 2], [1.0, 2.0], ["a", "b", "c"], [0, 1, 2]]
)
def test_a_column_that_tells_the_label_is_found_whatever_the_labels_are(
    tmp_path: Path, labels: list[object]
) -> None:
    tables = {"reference": rows(600, 1, labels), "test": rows(300, 2, labels)}
    found = ask("leakage: {max_overlap: 0.9}", root=tmp_path, tables=tables)
    assert (found.status, found.sentence) == ("fail", "after alone tells the label (ROC AUC 1.000)")
    sound = ask("leakage: {max_overlap: 0.9, columns: [wind]}", root=tmp_path, tables=tables)
    assert (sound.status, set(sound.evidence["auc_alone"])) == ("pass", {"wind"})


def test_a_value_that_is_missing_where_the_label_is_1_tells_it(tmp_path: Path) -> None:
    tables = {
        name: rows(count, count, [0, 1]).with_columns(
            wind=pl.when(pl.col("y") == 1).then(pl.lit(gap)).otherwise("wind")
        )
        for name, count, gap in (("reference", 600, None), ("test", 300, float("nan")))
    }
    found = ask("leakage: {columns: [wind], max_overlap: 0.9}", root=tmp_path, tables=tables)
    assert (found.status, found.sentence) == (
        "fail",
        "whether wind is missing alone tells the label (ROC AUC 1.000)",
    )


def test_labels_that_columns_cannot_be_held_against_never_pass_in_silence(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    train, test = rows(600, 1, [0, 1]), rows(300, 2, [0, 1])
    for labels, told in (
        (pl.lit(None), "300 of 300 rows of test.parquet have no 'y'"),
        (pl.when(pl.col("wind") > 10).then("y"), "rows of test.parquet have no 'y'"),
        (pl.when(pl.col("wind") > 10).then(pl.col("y") * 1.0).otherwise(float("nan")), "have no 'y'"),
        (pl.lit(1), "all 300 rows of test.parquet have the same 'y'"),
    ):
        tables = {"reference": train, "test": test.with_columns(y=labels)}
        found = ask("leakage: {columns: [wind]}", root=tmp_path, tables=tables)
        assert (found.status, told in found.sentence) == ("error", True), found.sentence
    number = {"reference": train.with_columns(y="wind"), "test": test.with_columns(y="wind")}
    found = ask("leakage: {columns: [after]}", root=tmp_path, tables=number)
    assert found.sentence.endswith(
        "no column was tested alone, since 'y' has 300 different values, which are no classes"
    )
    assert not [one for one in recwarn if issubclass(one.category, RuntimeWarning)]


def test_rows_are_compared_by_their_numbers_and_types_that_differ_are_told(tmp_path: Path) -> None:
    train = rows(600, 1, [0, 1]).with_columns(age=pl.int_range(600))
    copied = train.head(200).with_columns(pl.col("age").cast(pl.Float64), pl.col("y") == 1)
    columns = "columns: [wind, age]"
    found = ask(f"leakage: {{{columns}}}", root=tmp_path, tables={"reference": train, "test": copied})
    assert (found.status, found.observed) == ("fail", 1.0)
    text = copied.with_columns(pl.col("age").cast(pl.String))
    strange = ask(f"leakage: {{{columns}}}", root=tmp_path, tables={"reference": train, "test": text})
    assert strange.status == "error"
    assert "'age' is Int64 in reference.parquet and String in test.parquet" in strange.sentence
