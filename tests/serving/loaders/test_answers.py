"""A model's answer is served as the value that it is, or is an error of the model's; never as another value."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest

import penstock
from penstock.base.store.database import Database
from penstock.flows.models.folders import files_of_folder
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.records.signature import Column, Datatype
from penstock.serving.loaders.answers import as_answer, as_array, fit_output
from penstock.serving.repository import ModelRepository
from serving.models import FolderSource, deploy
from serving.own_models import Silent, Steps

HELD: list[tuple[Any, Datatype, list[Any]]] = [
    ([1, 2], "FP64", [1.0, 2.0]),
    ([1.0, 2.0], "INT64", [1, 2]),
    ([True, False], "INT64", [1, 0]),
    ([1, 0], "BOOL", [True, False]),
    ([None, 8], "FP64", [None, 8.0]),
    (pd.array([None, 8], dtype="Int64"), "FP64", [None, 8.0]),
    (pd.array([None, True], dtype="boolean"), "FP64", [None, 1.0]),
    (pl.Series([None, 8]), "FP64", [None, 8.0]),
    (np.ma.masked_array([1, 2], [True, False]), "FP64", [None, 2.0]),
    (["a", None], "BYTES", ["a", None]),
    (["a", float("nan")], "BYTES", ["a", None]),
    (pd.Series(["a", None]), "BYTES", ["a", None]),
    ([b"a", "b"], "BYTES", ["a", "b"]),
    (np.array([b"a", b"b"]), "BYTES", ["a", "b"]),
    ([datetime.date(2026, 1, 2), None], "BYTES", ["2026-01-02", None]),
    (np.array(["2026-01-02T03:04:05", "NaT"], "M8[ns]"), "BYTES", ["2026-01-02T03:04:05", None]),
    ([Decimal("1.10"), None], "BYTES", ["1.10", None]),
    ([0.1, 2.0], "FP32", [0.10000000149011612, 2.0]),
    ([2**53, -(2**53)], "FP64", [2.0**53, -(2.0**53)]),
    ([255, 0], "UINT8", [255, 0]),
]
LOST: list[tuple[Any, Datatype]] = [
    ([1.5, 2.0], "INT64"),
    ([1.5, 2.0], "BOOL"),
    ([2, 1], "BOOL"),
    ([None, 8], "INT64"),
    ([np.nan, 8.0], "INT64"),
    ([np.nan, 1.0], "BOOL"),
    ([np.inf, 1.0], "INT32"),
    (pl.Series([None, True]), "BOOL"),
    (np.ma.masked_array([1, 2], [True, False]), "INT64"),
    ([2.0**63, 0.0], "INT64"),
    (np.array([2**63, 0], np.uint64), "INT64"),
    ([-1, 0], "UINT64"),
    ([2**40, 0], "INT32"),
    ([256, 0], "UINT8"),
    ([2**53 + 1, 0], "FP64"),
    ([2**24 + 1, 0], "FP32"),
    ([1e39, 0.0], "FP32"),
    ([1, 2], "BYTES"),
    ([True, False], "BYTES"),
    (["a", 1], "BYTES"),
    ([{"a": 1}, {"a": 2}], "BYTES"),
    (["1", "2"], "INT64"),
    (["1.5", None], "FP64"),
    (np.array([1, 2], "m8[s]"), "BYTES"),
]
SERVED = {2: ([3, 3], [True, True], ["t", "t"]), 3: ([3, 3], [True, True], [None, None])}


@pytest.mark.parametrize(("given", "datatype", "expected"), HELD)
def test_what_the_datatype_holds_is_given_in_it(given: Any, datatype: Datatype, expected: list[Any]) -> None:
    found = fit_output(as_array(given), Column("y", datatype), 2).tolist()
    assert [None if isinstance(value, float) and np.isnan(value) else value for value in found] == expected


@pytest.mark.parametrize(("given", "datatype"), LOST)
def test_what_it_would_lose_is_refused_with_what_to_do(given: Any, datatype: Datatype) -> None:
    with pytest.raises(ValueError, match=f"for 'y', which is {datatype} in its signature.*save it again"):
        fit_output(as_array(given), Column("y", datatype), 2)


def test_a_value_too_few_is_told_in_words() -> None:
    with pytest.raises(ValueError, match="gave 1 value for 'y', not 2"):
        fit_output([1.0], Column("y", "FP64"), 2)


def test_an_array_of_the_datatype_is_passed_on() -> None:
    values = np.arange(3.0)
    assert fit_output(values, Column("y", "FP64"), 3).base is values


def test_a_list_of_mappings_is_a_table() -> None:
    found = as_answer([{"x": 1, "label": "a"}, {"label": "b", "x": None}])
    assert {name: values.dtype.kind for name, values in found.items()} == {"x": "f", "label": "U"}
    assert found["label"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="row 1 has x, the first has x, label"):
        as_answer([{"x": 1, "label": "a"}, {"x": 2}])


def test_a_model_of_other_types_on_other_rows_is_answered_rightly_or_fails(
    database: Database, tmp_path: Path
) -> None:
    penstock.save_model(Steps(), tmp_path / "steps", inputs=[[2.0, 2.0], [2.0, 2.0]])
    source = FolderSource(files_of_folder(tmp_path / "steps", "steps", 1, "d"))
    deploy(database, "steps", 1, model="steps")
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, flush_s=0.1))
    process.start()
    try:
        with httpx.Client(base_url=process.url, timeout=60) as client:
            for kind in range(2, 13):
                tensor = {"name": "input-0", "shape": [2, 2], "datatype": "FP64", "data": [float(kind)] * 4}
                answer = client.post("/v2/models/steps/infer", json={"inputs": [tensor]})
                if kind in SERVED:
                    assert tuple(one["data"] for one in answer.json()["outputs"]) == SERVED[kind]
                    continue
                assert (answer.status_code, answer.json()["code"]) == (500, "serving.model_failed"), kind
                assert "save it again" in answer.json()["error"]
    finally:
        process.stop()


def test_a_folder_that_tells_whole_numbers_of_a_model_of_fractions_is_served_as_it_answers(
    tmp_path: Path,
) -> None:
    """MLflow's `infer_signature(X, y)` tells the type of the labels, not of what the model gives."""
    mlflow = pytest.importorskip("mlflow")
    from sklearn.linear_model import LinearRegression

    from penstock.serving.loaders import load_model

    rows = np.array([[1.0], [2.0], [4.0]])
    model = LinearRegression().fit(rows, [1, 2, 5])
    signature = mlflow.models.infer_signature(rows, np.array([1, 2, 5]))
    mlflow.sklearn.save_model(
        model,
        tmp_path / "m",
        signature=signature,
        input_example=rows,
        serialization_format="cloudpickle",
    )
    predictor = load_model(files_of_folder(tmp_path / "m", "m", 1, "d"))
    assert predictor.signature.outputs == (Column("prediction", "FP64"),)
    found = predictor.predict({"input-0": rows}, 3)["prediction"]
    assert np.allclose(found, model.predict(rows))


def test_a_model_that_knows_nothing_of_its_example_is_served_and_batched(tmp_path: Path) -> None:
    for number, rows in enumerate(([[0.0, 1.0], [1.0, 2.0]], [[0.0, 1.0], [0.0, 2.0]], [[0.0, 1.0]])):
        penstock.save_model(Silent(), tmp_path / f"{number}", inputs=rows)
        files = files_of_folder(tmp_path / f"{number}", "silent", number + 1, "d")
        model = ModelRepository(lambda *_, found=files: found).load_version("silent", number + 1)
        assert model.is_batchable
