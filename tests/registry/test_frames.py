"""Rows in whatever people hold them, and a folder that a failed save leaves as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import penstock
from penstock.base.errors import Invalid
from penstock.registry.flavours.frames import as_frame
from penstock.registry.package import describe_model, digest_manifest, scan_model


class Unwritable:
    """What no file can hold."""

    def __reduce__(self) -> str:
        raise RuntimeError("it cannot be written down")

    def __getstate__(self) -> object:
        raise RuntimeError("it cannot be written down")


FRAME = pl.DataFrame({"age": [31, 60, 44, 25], "plan": ["a", "b", "a", "b"], "left": [0, 1, 1, 0]})


def columns_of(folder: Path) -> list[tuple[str, str]]:
    return [(column.name, column.datatype) for column in describe_model(folder).signature.inputs]


def test_the_same_rows_are_the_same_frame_whatever_holds_them() -> None:
    rows = {"age": [31, 60], "plan": ["a", None], "share": [0.5, float("nan")], "is_new": [True, False]}
    expected = pl.DataFrame(rows)
    for held in (
        expected,
        expected.lazy(),
        rows,
        [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)],
        pd.DataFrame(rows),
        pd.DataFrame(rows).astype({"plan": "category"}),
        pd.DataFrame(rows, index=[7, 7]),
    ):
        assert as_frame(held).equals(expected, null_equal=True), type(held)
    nullable = pd.DataFrame({"age": pd.array([31, None], dtype="Int64")})
    assert as_frame(nullable)["age"].to_list() == [31, None]


def test_an_array_takes_the_names_the_model_knows_or_numbers() -> None:
    array = np.arange(6.0).reshape(3, 2)
    assert as_frame(array).columns == ["x0", "x1"]
    assert as_frame(array, ["a", "b"]).columns == ["a", "b"]
    assert as_frame([[1, 2], [3, 4]]).rows() == [(1, 2), (3, 4)]


def test_what_is_no_table_is_refused_with_what_it_was() -> None:
    for held in ("text", 5, [1, 2], np.zeros((2, 2, 2)), np.array([["a", "b"]]), [[1, 2], [3]]):
        with pytest.raises(Invalid, match="not rows of named columns") as error:
            as_frame(held)
        assert error.value.hint
    with pytest.raises(Invalid, match="2 columns, and the model knows 3 names"):
        as_frame(np.zeros((1, 2)), ["a", "b", "c"])


def test_a_model_of_pandas_and_one_of_arrays_become_folders(tmp_path: Path) -> None:
    frame = pd.DataFrame(FRAME.to_dict(as_series=False))
    encoded = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    model = make_pipeline(encoded, LogisticRegression()).fit(frame[["age", "plan"]], frame["left"])
    penstock.save_model(model, tmp_path / "pandas", inputs=frame[["age", "plan"]])
    assert columns_of(tmp_path / "pandas") == [("age", "INT64"), ("plan", "BYTES")]
    array = frame[["age"]].to_numpy(dtype=float)
    penstock.save_model(LogisticRegression().fit(array, frame["left"]), tmp_path / "array", array)
    assert columns_of(tmp_path / "array") == [("x0", "FP64")]


def test_a_save_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    model = LogisticRegression().fit(FRAME.select("age"), FRAME["left"])
    folder = tmp_path / "model"
    penstock.save_model(model, folder, FRAME.select("age"))
    before = digest_manifest(scan_model(folder))
    for rows in ("nonsense", FRAME.select("plan"), FRAME.select("age").with_columns(day=pl.date(2013, 1, 1))):
        with pytest.raises(Invalid):
            penstock.save_model(model, folder, rows)
    unsaved = LogisticRegression().fit(FRAME.select("age"), FRAME["left"])
    unsaved.extra = Unwritable()
    with pytest.raises(RuntimeError, match="cannot be written down"):
        penstock.save_model(unsaved, folder, FRAME.select("age"))
    assert digest_manifest(scan_model(folder)) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
