"""Rows in whatever people hold them, and a folder that a failed save leaves as it was."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
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
from penstock.flows.models.folders import files_of_folder
from penstock.registry.flavours.columns import example_of, input_columns
from penstock.registry.flavours.frames import hold_rows
from penstock.registry.package import describe_model, digest_manifest, scan_model
from penstock.serving.loaders import load_model
from penstock.serving.loaders.fed import example_columns
from registry.seeing import See


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
    for kind, held in (
        ("polars", expected),
        ("polars", expected.lazy()),
        ("polars", rows),
        ("polars", [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]),
        ("pandas", pd.DataFrame(rows)),
        ("pandas", pd.DataFrame(rows).astype({"plan": "category"})),
        ("pandas", pd.DataFrame(rows, index=[7, 7])),
    ):
        found = hold_rows(held)
        assert found.frame is not None
        assert found.frame.equals(expected, null_equal=True), type(held)
        assert found.kind == kind
    nullable = hold_rows(pd.DataFrame({"age": pd.array([31, None], dtype="Int64")}))
    assert nullable.frame is not None
    assert nullable.frame["age"].to_list() == [31, None]
    one = hold_rows({"age": 31, "plan": "a"})
    assert one.frame is not None
    assert one.frame.rows() == [(31, "a")]


def test_arrays_are_tensors_of_any_rank_unless_the_model_knows_names() -> None:
    array = np.arange(6.0).reshape(3, 2)
    named = hold_rows(array, ["a", "b"])
    assert named.frame is not None
    assert named.frame.columns == ["a", "b"]
    for rows, shape in (
        (array, (-1, 2)),
        ([[1, 2], [3, 4]], (-1, 2)),
        (np.zeros((2, 3, 4, 4), np.float32), (-1, 3, 4, 4)),
        (["a text", "another"], (-1,)),
        ([1, 2], (-1,)),
        (np.array([["a", "b"]]), (-1, 2)),
    ):
        (column,) = input_columns(hold_rows(rows), set())
        assert (column.name, column.shape) == ("input-0", shape)
    both = input_columns(hold_rows({"pixels": np.zeros((2, 8, 8)), "age": np.array([1, 2])}), set())
    assert [(one.name, one.datatype, one.shape) for one in both] == [
        ("pixels", "FP64", (-1, 8, 8)),
        ("age", "INT64", (-1,)),
    ]


def test_what_are_no_rows_is_refused_with_what_it_was() -> None:
    for held in ("text", 5, [[1, 2], [3]], [object()], np.zeros((0, 2)), {"a": [[1, 2], [3]]}):
        with pytest.raises(Invalid, match="not rows of a model's inputs") as error:
            hold_rows(held)
        assert error.value.hint
    with pytest.raises(Invalid, match="2 columns, and the model knows 3 names"):
        hold_rows(np.zeros((1, 2)), ["a", "b", "c"])


@pytest.mark.parametrize("kind", ["polars", "pandas"])
def test_what_is_missing_dates_and_closed_sets_go_through_save_and_serve(tmp_path: Path, kind: str) -> None:
    """The model sees the same kind of frame, with the same types, as where it was saved."""
    rows = pl.DataFrame(
        {
            "age": pl.Series([31, None, 40], dtype=pl.Int32),
            "is_new": [True, None, False],
            "plan": ["a", None, "b"],
            "day": [date(2026, 1, 2), date(2026, 3, 4), date(2026, 5, 6)],
            "seen": [datetime(2026, 1, 2, 3, 4, 5), datetime(2026, 1, 1), datetime(2025, 1, 1)],
            "class": pl.Series(["x", "y", "x"], dtype=pl.Enum(["x", "y"])),
            "count": [1, 2, 3],
        }
    )
    given = rows if kind == "polars" else _as_pandas(rows)
    penstock.save_model(See(), tmp_path / "m", inputs=given)
    files = files_of_folder(tmp_path / "m", "m", 1, "d")
    assert [(c.name, c.datatype, c.required, c.meaning) for c in files.signature.inputs] == [
        ("age", "FP64", False, ""),
        ("is_new", "FP64", False, "boolean"),
        ("plan", "BYTES", False, ""),
        ("day", "BYTES", True, "date" if kind == "polars" else "datetime"),
        ("seen", "BYTES", True, "datetime"),
        ("class", "BYTES", True, "categorical"),
        ("count", "INT64", True, ""),
    ]
    predictor = load_model(files)
    columns = example_columns(files.signature, files.example)
    assert columns is not None
    seen = predictor.predict(columns, 3)["prediction"].tolist()
    expected = {
        "polars": "Float64,Boolean,String,Date,Datetime(time_unit='us', time_zone=None),Categorical,Int64",
        "pandas": "float64,boolean,str,datetime64[us],datetime64[us],category,int64",
    }
    assert seen == [expected[kind]] * 3
    few = {name: values for name, values in columns.items() if name not in {"age", "is_new", "plan"}}
    assert predictor.predict(few, 3)["prediction"].tolist() == seen


def _as_pandas(rows: pl.DataFrame) -> pd.DataFrame:
    frame = pd.DataFrame(rows.to_dict(as_series=False))
    kinds = {"age": "Int32", "is_new": "boolean", "day": "datetime64[s]", "class": "category"}
    return frame.astype(kinds)


def test_a_model_of_pandas_and_one_of_arrays_become_folders(tmp_path: Path) -> None:
    frame = pd.DataFrame(FRAME.to_dict(as_series=False))
    encoded = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    model = make_pipeline(encoded, LogisticRegression()).fit(frame[["age", "plan"]], frame["left"])
    penstock.save_model(model, tmp_path / "pandas", inputs=frame[["age", "plan"]])
    assert columns_of(tmp_path / "pandas") == [("age", "INT64"), ("plan", "BYTES")]
    array = frame[["age"]].to_numpy(dtype=float)
    penstock.save_model(LogisticRegression().fit(array, frame["left"]), tmp_path / "array", array)
    assert columns_of(tmp_path / "array") == [("input-0", "FP64")]


def test_a_save_that_fails_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    model = LogisticRegression().fit(FRAME.select("age"), FRAME["left"])
    folder = tmp_path / "model"
    penstock.save_model(model, folder, FRAME.select("age"))
    before = digest_manifest(scan_model(folder))
    for rows in ("nonsense", FRAME.select("plan"), FRAME.select("age").with_columns(gap=pl.duration(days=1))):
        with pytest.raises(Invalid):
            penstock.save_model(model, folder, rows)
    unsaved = LogisticRegression().fit(FRAME.select("age"), FRAME["left"])
    unsaved.extra = Unwritable()
    with pytest.raises(RuntimeError, match="cannot be written down"):
        penstock.save_model(unsaved, folder, FRAME.select("age"))
    assert digest_manifest(scan_model(folder)) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_frames_without_a_row_or_with_columns_that_no_request_could_send_are_refused_in_words(
    tmp_path: Path,
) -> None:
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    twice = pd.DataFrame([[0.0, 1.0], [1.0, 0.0]], columns=["a", "a"])
    for rows, words, code in (
        (pd.DataFrame({"": [1.0]}), "a column has no name", "registry.bad_inputs"),
        ({"": [1.0]}, "a column has no name", "registry.bad_inputs"),
        ([{"": 1.0}], "a column has no name", "registry.bad_inputs"),
        (
            pl.DataFrame({"k": [2**63]}, schema={"k": pl.UInt64}),
            "column 'k' holds a number of",
            "registry.bad_signature",
        ),
        (twice, "'a' names more than one column", "registry.bad_inputs"),
        (pd.DataFrame({"a": [1.0]}).head(0), "these are none", "registry.no_inputs"),
        (pl.DataFrame({"a": [1.0]}).head(0).lazy(), "these are none", "registry.no_inputs"),
        ({"a": []}, "these are none", "registry.no_inputs"),
    ):
        with pytest.raises(Invalid, match=words) as caught:
            penstock.save_model(model, tmp_path / "m", inputs=rows)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("rows", "words", "hint"),
    [
        (np.zeros((2, 2), np.longdouble), "numbers of type float128", "float64"),
        ({"a": np.zeros((2, 2), np.longdouble)}, "numbers of type float128", "float64"),
        (pd.DataFrame({"a": np.zeros(2, np.longdouble)}), "column 'a' of type float128", "float64"),
        (np.zeros((2, *[1] * 32)), "33 dimensions, and a request has at most 32", "reshape"),
        (pd.DataFrame({"a": [Decimal("1.5"), None]}), "column 'a' of type Decimal", "Float64"),
        (pl.DataFrame({"a": [Decimal("1.5")]}), "column 'a' of type Decimal", "Float64"),
    ],
)
def test_what_no_request_could_bring_is_refused_with_what_to_cast_it_to(
    tmp_path: Path, rows: object, words: str, hint: str
) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        penstock.save_model(See(), tmp_path / "m", inputs=rows)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("values", "datatype", "is_required", "carried"),
    [
        (pd.arrays.SparseArray([1.0, 0.0]), "FP64", True, [1.0, 0.0]),
        (pd.arrays.SparseArray([1.5, np.nan]), "FP64", False, [1.5, None]),
        (pd.arrays.SparseArray(np.array([1, 0], np.float32)), "FP32", True, [1.0, 0.0]),
        (pd.arrays.SparseArray([3, 0]), "INT64", True, [3, 0]),
        (pd.arrays.SparseArray([True, False]), "BOOL", True, [True, False]),
        (pd.array([1, None], dtype="Int64"), "FP64", False, [1.0, None]),
        (pd.array([1, 2], dtype="UInt8"), "INT64", True, [1, 2]),
        (pd.array([1.5, None], dtype="Float32"), "FP64", False, [1.5, None]),
        (pd.array([True, None], dtype="boolean"), "FP64", False, [1.0, None]),
        (pd.array([None, None], dtype="boolean"), "FP64", False, [None, None]),
        (pd.array(["a", None], dtype="string"), "BYTES", False, ["a", None]),
        (pd.array([None, None], dtype="string"), "BYTES", False, [None, None]),
        (pd.Categorical(["a", None]), "BYTES", False, ["a", None]),
        (pd.Categorical([2, 1]), "INT64", True, [2, 1]),
    ],
)
def test_every_type_of_pandas_that_the_wire_has_a_word_for_is_taken(
    values: object, datatype: str, is_required: bool, carried: list[object]
) -> None:
    held = hold_rows(pd.DataFrame({"a": values}))
    columns = input_columns(held, set())
    assert [(one.datatype, one.required) for one in columns] == [(datatype, is_required)]
    assert example_of(held, columns) == {"a": carried}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pd.period_range("2026-01", periods=2, freq="M"), "of Period objects"),
        (pd.interval_range(0, 2), "of Interval objects"),
        (pd.cut(pd.Series([1, 2]), 2), "of Interval objects"),
        (np.array([1j, 2]), "of complex objects"),
        (pd.to_timedelta([1, 2], unit="h"), "of type Duration"),
        (pd.Series([None, object()]), "of object objects"),
        (pd.Series([2**70, 1]), "a number of more than 63 bits"),
        (pd.Series([b"a", b"b"]), "of type Binary"),
        (pd.arrays.SparseArray(np.array([1, 0], np.longdouble)), "of type float128"),
    ],
)
def test_other_types_of_pandas_are_refused_with_the_column_and_what_it_holds(
    tmp_path: Path, values: object, words: str
) -> None:
    with pytest.raises(Invalid, match=f"column 'a' .*{words}") as caught:
        penstock.save_model(See(), tmp_path / "m", inputs=pd.DataFrame({"a": values}))
    assert "cast it" in str(caught.value.hint)


def test_a_model_of_sparse_columns_is_served_dense_with_the_same_answers(tmp_path: Path) -> None:
    dense = pd.DataFrame({"a": [1.0, 0.0, 2.0, 0.0], "b": [0.0, 0.0, 3.0, 1.0]})
    frame = dense.astype(pd.SparseDtype(float, 0.0))
    model = LogisticRegression().fit(frame, [0, 1, 1, 0])
    penstock.save_model(model, tmp_path / "m", inputs=frame)
    files = files_of_folder(tmp_path / "m", "m", 1, "d")
    columns = example_columns(files.signature, files.example)
    assert columns is not None
    answered = load_model(files).predict(columns, 4)["probability"]
    assert answered.tolist() == pytest.approx(model.predict_proba(dense)[:, 1].tolist())
    penstock.save_model(See(), tmp_path / "seen", inputs=frame)
    files = files_of_folder(tmp_path / "seen", "seen", 1, "d")
    assert load_model(files).predict(columns, 4)["prediction"].tolist() == ["float64,float64"] * 4
