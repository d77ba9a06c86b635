"""MLflow's scoring requests, to ours and to MLflow's own scoring application."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import penstock
from facts import fact
from penstock.base.store.database import Database
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.records.signature import Column, Signature
from penstock.serving.loaders import ModelFiles
from penstock.serving.loaders.quick_skops import import_skops
from servers.tracking import mlflow_python
from serving.models import FolderSource, deploy

pytestmark = pytest.mark.slow
JSON = "application/json"
SCRIPT = Path(__file__).with_name("score_with_mlflow.py")
ROWS = {"columns": ["hour", "wind"], "data": [[5.0, 9.0], [20.0, 5.0]]}
RECORDS = [{"hour": 5.0, "wind": 9.0}, {"wind": 5.0, "hour": 20.0}]
Answer = list[Any]


def scoring(body: Any, content_type: str = JSON) -> tuple[str, str, str, str]:
    return "POST", "/invocations", content_type, body if isinstance(body, str) else json.dumps(body)


REQUESTS = [
    ("GET", "/ping", "", ""),
    ("GET", "/health", "", ""),
    ("GET", "/version", "", ""),
    scoring({"dataframe_split": ROWS}),
    scoring({"dataframe_split": ROWS}, f"{JSON}; charset=utf-8"),
    scoring({"dataframe_split": {"columns": ["wind", "more", "hour"], "data": [[9.0, 1, 5]]}}),
    scoring({"dataframe_records": RECORDS}),
    scoring({"instances": RECORDS}),
    scoring({"inputs": {"hour": [5.0, 20.0], "wind": [9.0, 5.0]}}),
    scoring({"inputs": {"hour": 5.0, "wind": 9.0}}),
    scoring({"inputs": RECORDS}),
    scoring("hour,wind\n5.0,9.0\n20,5\n", "text/csv"),
    scoring({"dataframe_split": {"columns": ["hour"], "data": [[5.0]]}}),
    scoring({"dataframe_split": {"columns": ["hour", "wind"], "data": [["x", 9.0]]}}),
    scoring({"dataframe_split": {"columns": ["hour", "wind"], "data": [[None, 9.0]]}}),
    scoring({"dataframe_split": {"columns": ["hour", "wind"], "data": []}}),
    scoring({"dataframe_split": ROWS, "inputs": {}}),
    scoring({}),
    scoring([]),
    scoring("{"),
    scoring("7"),
    scoring("x", "text/plain"),
    scoring("{}", f"{JSON}; charset=latin-1"),
]


def score_with_mlflow(folder: Path) -> list[Answer]:
    done = subprocess.run(
        [mlflow_python(), str(SCRIPT), str(folder)],
        input=json.dumps(REQUESTS),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    answers: list[Answer] = json.loads(done.stdout.rpartition("answers ")[2])
    return [shown(*answer) for answer in answers]


def shown(status: int, kind: str, body: str) -> Answer:
    """Return of an answer what both say alike: not the sentence of an error, nor the program's version."""
    if kind.startswith(JSON) and status >= 400:
        return [status, JSON, sorted({"error_code", "message"} & set(json.loads(body)))]
    if status >= 400:
        return [status]
    return [
        status,
        kind,
        "version" if body.strip().replace(".", "").isdigit() else body.replace(", ", ",").replace(": ", ":"),
    ]


def table() -> pl.DataFrame:
    return pl.DataFrame({"hour": [float(hour) for hour in range(24)], "wind": [5.0, 9.0] * 12})


@pytest.fixture
def scored(tmp_path: Path, database: Database) -> Iterator[ServeProcess]:
    folder = tmp_path / "model"
    folder.mkdir()
    import_skops().dump(
        LogisticRegression().fit(table(), [int(hour > 14) for hour in range(24)]), folder / "model.skops"
    )
    inputs = (Column("hour", "FP64"), Column("wind", "FP64"))
    outputs = (Column("prediction", "INT64"), Column("probability", "FP64"))
    files = ModelFiles(
        path=folder,
        name="late",
        version=1,
        digest="late-1",
        flavour="sklearn",
        options={"pickled_model": "model.skops", "serialization_format": "skops"},
        signature=Signature(inputs, outputs),
    )
    deploy(database, "late", 1, model="late")
    process = ServeProcess(
        database, FolderSource(files), build_inference_app, ServeOptions(port=0, poll_s=0.02)
    )
    process.start()
    yield process
    process.stop()


def test_mlflows_requests_are_answered_as_mlflow_does(scored: ServeProcess, tmp_path: Path) -> None:
    theirs = fact(
        score_with_mlflow,
        lambda: score_with_mlflow(tmp_path),
        program="mlflow",
        inputs=[REQUESTS, SCRIPT.read_text()],
    )
    for request, expected in zip(REQUESTS, theirs, strict=True):
        method, route, kind, body = request
        headers = {"content-type": kind} if kind else {}
        answer = httpx.request(method, scored.url + route, content=body, headers=headers)
        ours = shown(answer.status_code, answer.headers["content-type"], answer.text)
        assert (ours[:1] if len(expected) == 1 else ours) == expected, (request, answer.text)


def test_rows_without_names_are_taken_in_the_models_order_and_the_answer_names_its_prediction(
    scored: ServeProcess,
) -> None:
    for form in ("instances", "inputs"):
        answer = httpx.post(f"{scored.url}/invocations", json={form: ROWS["data"]})
        assert answer.json() == {"predictions": [0, 1]}
        assert answer.headers["penstock-prediction-id"]
    assert httpx.get(f"{scored.url}/version").text == penstock.__version__


def test_with_several_endpoints_a_header_or_the_default_says_which(
    database: Database, source: FolderSource
) -> None:
    deploy(database, "one", 1)
    deploy(database, "two", 2)
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, poll_s=0.02))
    process.start()
    try:
        body = {"dataframe_records": [{"hour": 5, "distance": 900.0, "carrier": "AA"}]}
        answer = httpx.post(f"{process.url}/invocations", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "scoring.which_endpoint")
        assert answer.json()["error_code"] == "BAD_REQUEST"
        answer = httpx.post(f"{process.url}/invocations", json=body, headers={"penstock-endpoint": "two"})
        assert answer.headers["penstock-model-version"] == "2"
        answer = httpx.post(f"{process.url}/invocations", json=body, headers={"penstock-endpoint": "nope"})
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    finally:
        process.stop()
