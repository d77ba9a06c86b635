"""NaN in the rows a model was saved with: what its library takes as missing may be missing in a request, through every door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest

import penstock
from patience import PATIENCE_S
from penstock.base.errors import Invalid
from penstock.base.store.database import Database
from penstock.flows.models.folders import files_of_folder
from penstock.records.signature import Column, Signature
from penstock.registry.flavours.columns import input_columns
from penstock.registry.flavours.frames import hold_rows
from penstock.registry.package import describe_model
from penstock.rpc.messages import ModelInferRequest, ModelInferResponse
from penstock.serving.loaders import load_model
from penstock.serving.loaders.compiled.proved import ShortcutPredictor
from penstock.serving.matching import to_columns
from penstock.serving.scoring import decode_scoring
from serving.models import FolderSource, deploy
from serving.rpc import address, make_process

NAMES = ["a", "b", "c"]


def rows(count: int = 200) -> np.ndarray:
    """Return numbers of which one in seven of the second column is missing."""
    made = np.random.default_rng(0).normal(size=(count, 3))
    made[::7, 1] = np.nan
    return made


X = rows()
Y = (X[:, 0] + np.nan_to_num(X[:, 1], nan=2.0) > 0).astype(int)


def histogram() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=5)


def lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=5, verbose=-1)


def xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=5, n_jobs=1)


LIBRARIES = (histogram, lightgbm, xgboost)


def frames(count: int) -> dict[str, Any]:
    """Return the first rows in everything that holds columns."""
    return {
        "pandas": pd.DataFrame(X[:count], columns=NAMES),
        "polars": pl.DataFrame(X[:count], schema=NAMES),
        "mapping": {name: X[:count, at].tolist() for at, name in enumerate(NAMES)},
        "records": [dict(zip(NAMES, row.tolist(), strict=True)) for row in X[:count]],
        "single": pd.DataFrame(X[:count].astype(np.float32), columns=NAMES),
    }


def test_a_column_with_nan_is_optional_whatever_holds_it() -> None:
    for kind, held in frames(20).items():
        found = [(one.name, one.required) for one in input_columns(hold_rows(held), set())]
        assert found == [("a", True), ("b", False), ("c", True)], kind


def test_a_tensor_with_nan_may_have_values_missing_and_the_folder_says_so(tmp_path: Path) -> None:
    model = histogram().fit(X, Y)
    for name, given, optional, required in (
        ("with", X[:20], [], False),
        ("without", X[1:6], [], True),
        ("named", X[1:6], ["input-0"], False),
    ):
        penstock.save_model(model, tmp_path / name, inputs=given, optional=optional)
        (column,) = describe_model(tmp_path / name).signature.inputs
        assert column == Column("input-0", "FP64", required, shape=(-1, 3)), name
    for words, given, optional in (
        ("no word for a missing value", np.ones((2, 3), int), ["input-0"]),
        ("no column is called 'x'", X[:5], ["x"]),
    ):
        with pytest.raises(Invalid, match=words):
            penstock.save_model(model, tmp_path / "bad", inputs=given, optional=optional)


@dataclass(frozen=True)
class Served:
    """A process with both HTTP and gRPC, and by endpoint what its model's library answers for its rows."""

    http: httpx.Client
    rpc: Any
    expected: dict[str, list[float]]


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    expected: dict[str, list[float]] = {}
    source = FolderSource()
    for make in LIBRARIES:
        for kind, given in {"tensor": X[:20], "frame": frames(20)["pandas"]}.items():
            name = f"{make.__name__}-{kind}"
            model = make().fit(X if kind == "tensor" else pd.DataFrame(X, columns=NAMES), Y)
            penstock.save_model(model, tmp_path / name, inputs=given)
            expected[name] = model.predict_proba(given)[:, 1].tolist()
            source.add(files_of_folder(tmp_path / name, name, 1, name))
            deploy(database, name, 1, model=name)
    process = make_process(database, source)
    process.start()
    with (
        httpx.Client(base_url=process.url, timeout=PATIENCE_S) as client,
        grpc.insecure_channel(address(process)) as channel,
    ):
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            ModelInferRequest.SerializeToString,
            ModelInferResponse.FromString,
        )
        yield Served(client, infer, expected)
    process.stop()


def nulls(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(one) else one for one in values.ravel().tolist()]


def tensors(name: str) -> list[tuple[str, np.ndarray]]:
    if name.endswith("tensor"):
        return [("input-0", X[:20])]
    return [(one, X[:20, at]) for at, one in enumerate(NAMES)]


def test_what_is_missing_reaches_the_model_through_every_door(served: Served) -> None:
    for name, expected in served.expected.items():
        inputs = [
            {"name": one, "datatype": "FP64", "shape": list(values.shape), "data": nulls(values)}
            for one, values in tensors(name)
        ]
        answer = served.http.post(f"/v2/models/{name}/infer", json={"inputs": inputs})
        assert answer.status_code == 200, (name, answer.text)
        found = {one["name"]: one["data"] for one in answer.json()["outputs"]}
        assert np.allclose(found["probability"], expected, rtol=1e-6), name
        for is_raw in (False, True):
            message = ModelInferRequest(model_name=name)
            for one, values in tensors(name):
                made = message.inputs.add(name=one, datatype="FP64", shape=values.shape)
                if is_raw:
                    message.raw_input_contents.append(values.tobytes())
                else:
                    made.contents.fp64_contents.extend(values.ravel().tolist())
            assert len(served.rpc(message, timeout=PATIENCE_S).outputs) == 2, (name, is_raw)
        table = [nulls(row) for row in X[:20]]
        split = {"dataframe_split": {"columns": NAMES, "data": table}}
        body = {"instances": table} if name.endswith("tensor") else split
        answer = served.http.post("/invocations", json=body, headers={"penstock-endpoint": name})
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json()["predictions"] == found["prediction"]


def test_the_example_that_the_server_shows_is_answered_and_so_is_the_one_in_the_folder(
    served: Served, tmp_path: Path
) -> None:
    for name in served.expected:
        shown = served.http.get(f"/v2/models/{name}/openapi.json")
        if shown.status_code == 404:
            shown = served.http.get("/openapi.json")
        path = shown.raise_for_status().json()["paths"][f"/v2/models/{name}/infer"]
        example = path["post"]["requestBody"]["content"]["application/json"]["example"]
        assert None in [one for tensor in example["inputs"] for one in tensor["data"]]
        assert served.http.post(f"/v2/models/{name}/infer", json=example).status_code == 200
        kept = json.loads((tmp_path / name / "input_example.json").read_bytes())
        body = kept if name.endswith("tensor") else {"dataframe_split": kept}
        answer = served.http.post("/invocations", json=body, headers={"penstock-endpoint": name})
        assert answer.status_code == 200, (name, answer.text)


def test_where_nothing_was_missing_null_is_refused_with_what_would_allow_it(
    database: Database, tmp_path: Path
) -> None:
    penstock.save_model(histogram().fit(X, Y), tmp_path / "whole", inputs=X[1:6])
    source = FolderSource(files_of_folder(tmp_path / "whole", "whole", 1, "d"))
    deploy(database, "whole", 1, model="whole")
    process = make_process(database, source)
    process.start()
    try:
        tensor = {"name": "input-0", "datatype": "FP64", "shape": [1, 3], "data": [0.0, None, 1.0]}
        answer = httpx.post(
            f"{process.url}/v2/models/whole/infer", json={"inputs": [tensor]}, timeout=PATIENCE_S
        )
    finally:
        process.stop()
    assert (answer.status_code, answer.json()["code"]) == (400, "serving.missing_value")
    assert "optional=['input-0']" in answer.json()["hint"]


def test_a_shortcut_answers_what_is_missing_as_the_library_does(tmp_path: Path) -> None:
    """Also where none of the five rows in the example has a value missing."""
    model = histogram().fit(X, Y)
    for name, given in (("matrix", np.concatenate((X[1:6], X[7:8]))), ("first", X[:20])):
        penstock.save_model(model, tmp_path / name, inputs=given)
        predictor = load_model(files_of_folder(tmp_path / name, name, 1, "d"))
        assert isinstance(predictor, ShortcutPredictor)
        outputs = predictor.predict({"input-0": X}, len(X))
        assert np.allclose(outputs["probability"], model.predict_proba(X)[:, 1])


def test_a_named_input_of_one_value_a_row_beside_tensors_may_be_absent(tmp_path: Path) -> None:
    from serving.own_models import Ages

    given = {"pixels": np.ones((3, 2, 2)), "age": np.array([1.0, np.nan, 3.0])}
    penstock.save_model(Ages(), tmp_path / "m", inputs=given)
    predictor = load_model(files_of_folder(tmp_path / "m", "m", 1, "d"))
    outputs = predictor.predict({"pixels": np.ones((2, 2, 2))}, 2)
    assert outputs["prediction"].tolist() == [0.0, 0.0]


def test_mlflow_loads_the_folder_and_predicts_what_is_missing(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    for kind, given in (("tensor", X[:20]), ("frame", frames(20)["pandas"])):
        model = histogram().fit(given, Y[:20])
        penstock.save_model(model, tmp_path / kind, inputs=given)
        loaded = mlflow.pyfunc.load_model(str(tmp_path / kind))
        assert loaded.predict(given).tolist() == model.predict(given).tolist(), kind
    assert loaded.predict(loaded.input_example).tolist() == model.predict(given.head(5)).tolist()


def test_mlflows_scoring_takes_true_and_false_for_a_boolean_that_may_be_missing(tmp_path: Path) -> None:
    frame = pl.DataFrame({"flag": [True, None, False]})
    (column,) = input_columns(hold_rows(frame), set())
    signature = Signature((column,), ())
    bodies = {
        "application/json": b'{"dataframe_records": [{"flag": true}, {"flag": null}, {"flag": false}, {"flag": 1}]}',
        "text/csv": b"flag\ntrue\nnull\nFalse\n1\n",
    }
    for kind, body in bodies.items():
        request = decode_scoring(body, kind, signature, 0.0)
        columns, _ = to_columns(signature, request.tensors)
        assert np.array_equal(columns["flag"], [1.0, np.nan, 0.0, 1.0], equal_nan=True), kind


def test_booleans_with_missing_ones_that_a_model_does_not_take_are_told_in_words(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"flag": pd.Series([True, False, None, True], dtype=object)})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(
        frame, [0, 1, 0, 1]
    )
    with pytest.raises(
        Invalid, match="the booleans with missing values in 'flag' reach it as pandas'"
    ) as caught:
        penstock.save_model(model, tmp_path / "m", inputs=frame)
    assert "fit it on 'flag' as numbers" in str(caught.value.hint)
