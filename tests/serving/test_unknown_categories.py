"""A category that a model was not trained with is named to the caller and counts for the version, and what a library says of its insides is the log's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

import penstock
from penstock.base.errors import described
from penstock.base.store.database import Database
from penstock.flows.models.folders import files_of_folder
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.refusals import list_refused
from penstock.monitoring.windows import list_windows
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.loaders.feeding import find_unknown_category
from serving.models import FolderSource, deploy
from serving.own_models import Telling

ROWS = pd.DataFrame({"c": ["u", "v", "w"] * 20, "z": np.arange(60.0)})
LATE = (ROWS["c"] == "u").astype(int)


def boosted() -> tuple[Any, pd.DataFrame]:
    from xgboost import XGBClassifier

    rows = ROWS.assign(c=ROWS["c"].astype("category"))
    return XGBClassifier(n_estimators=3, enable_categorical=True, n_jobs=1).fit(rows, LATE), rows


def encoded() -> tuple[Any, pd.DataFrame]:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    encode = make_column_transformer((OneHotEncoder(), ["c"]), remainder="passthrough")
    return make_pipeline(encode, LogisticRegression()).fit(ROWS, LATE), ROWS


@pytest.fixture
def process(database: Database) -> Iterator[tuple[ServeProcess, FolderSource]]:
    source = FolderSource()
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, flush_s=0.1))
    yield process, source
    process.stop()


@pytest.mark.parametrize("make", [boosted, encoded])
def test_a_category_that_the_model_does_not_know_is_named_and_counts_for_the_version(
    make: Any, process: tuple[ServeProcess, FolderSource], database: Database, tmp_path: Path
) -> None:
    served, source = process
    model, rows = make()
    penstock.save_model(model, tmp_path / "m", inputs=rows.head(3))
    source.add(files_of_folder(tmp_path / "m", "m", 1, "d"))
    deploy(database, "m", 1, model="m")
    served.start()

    def ask(*categories: str) -> httpx.Response:
        inputs = [
            {"name": "c", "shape": [len(categories)], "datatype": "BYTES", "data": categories},
            {"name": "z", "shape": [len(categories)], "datatype": "FP64", "data": [1.0] * len(categories)},
        ]
        return client.post("/v2/models/m/infer", json={"inputs": inputs})

    with httpx.Client(base_url=served.url, timeout=60) as client:
        for _ in range(5):  # also when it is known to be cheap and is asked on the loop itself
            assert ask("u", "w").status_code == 200
            answer = ask("w", "zzz")
            assert (answer.status_code, answer.json()["code"]) == (400, "serving.unknown_category")
            assert answer.json()["error"].startswith("input 'c' holds 'zzz', a category that the model")
    served.stop()
    with database.read() as connection:
        assert sum(one.error_count for one in list_windows(connection, "m")) == 5
        assert list_refused(connection, 0) == {}


@pytest.mark.parametrize(
    ("told", "columns", "words"),
    [
        ("[np.int64(7)]", {"z": np.array([17, 7]), "c": np.array(["7"], object)}, "input 'z' holds '7'"),
        (
            "[7.0]",
            {"a": np.array([7]), "b": np.array([7.0]), "c": np.array([1])},
            "input 'a' or 'b' holds '7'",
        ),
        ("['it', 'is']", {"c": np.array([None, "is"], object)}, "input 'c' holds 'is'"),
        ("['it']", {"c": np.array(["is"], object), "z": np.array([1.0])}, None),
    ],
)
def test_the_inputs_that_hold_the_category_are_named(
    told: str, columns: dict[str, np.ndarray], words: str | None
) -> None:
    error = ValueError(f"Found unknown categories {told} in column 0 during transform")
    found = find_unknown_category(error, columns)
    assert (found is None) if words is None else (found is not None and found.message.startswith(words))
    assert find_unknown_category(ValueError("it failed"), columns) is None


def test_an_answer_holds_no_stack_and_no_path_of_the_server(
    process: tuple[ServeProcess, FolderSource], database: Database, tmp_path: Path
) -> None:
    served, source = process
    penstock.save_model(Telling(), tmp_path / "m", inputs=[[0.0, 1.0]])
    source.add(files_of_folder(tmp_path / "m", "m", 1, "d"))
    deploy(database, "m", 1, model="m")
    served.start()
    tensor = {"name": "input-0", "shape": [1, 2], "datatype": "FP64", "data": [-1.0, 1.0]}
    answer = httpx.post(f"{served.url}/v2/models/m/infer", json={"inputs": [tensor]}, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (500, "serving.model_failed")
    assert "RuntimeError: [12:00:00] tree.h:29: Check failed: it is negative" in answer.json()["error"]
    assert not any(word in answer.text for word in ("[bt]", "Stack", "/workspace", "/srv"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("No such file: '/srv/store/model.skops'", "No such file: 'model.skops'"),
        ("C:\\venv\\lib\\tree.py:3 bad", "tree.py:3 bad"),
        ("send it to http://host/a/b, as x/y", "send it to http://host/a/b, as x/y"),
        ("two\nlines\nTraceback (most recent call last):\n  File x", "two\nlines"),
        ("y" * 9000, "y" * 500),
    ],
)
def test_words_are_kept_and_places_are_not(text: str, words: str) -> None:
    assert described(ValueError(text)) == f"ValueError: {words}"
