"""MLflow's scoring requests, to ours and to MLflow's own scoring application."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import penstock
from compat.inference.params_with_mlflow import save
from facts import fact
from penstock.base.store.database import Database
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.records.signature import Column, Signature
from penstock.registry.package import describe_model
from penstock.serving.loaders import ModelFiles
from penstock.serving.loaders.quick_skops import import_skops
from servers.tracking import mlflow_python
from serving.models import FolderSource, deploy

pytestmark = pytest.mark.slow
JSON = "application/json"
SCRIPT = Path(__file__).with_name("score_with_mlflow.py")
WITH_PARAMS = Path(__file__).with_name("params_with_mlflow.py")
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


TAKEN = [{}, None, {"factor": 10.0}, {"factor": 10, "offsets": [0.5]}]
"""Parameters that a model takes which was saved with some."""
REFUSED = [{"factor": "x"}, {"factor": None}, {"offsets": 3}, {"offsets": ["a"]}, [1], "x"]
UNKNOWN = [{"unknown": 1}, {"factor": 1.0, "unknown": 1}]


def score_with_mlflow(folder: Path) -> list[Answer]:
    return [shown(*answer) for answer in ask_mlflow(SCRIPT, folder, REQUESTS)]


def params_with_mlflow(folder: Path) -> list[list[Answer]]:
    requests = [with_params(one) for one in (*TAKEN, *REFUSED, *UNKNOWN)]
    return [[shown(*answer) for answer in one] for one in ask_mlflow(WITH_PARAMS, folder, requests)]


def with_params(params: Any) -> tuple[str, str, str, str]:
    return scoring({"dataframe_split": {"columns": ["hour"], "data": [[5.0]]}, "params": params})


def ask_mlflow(script: Path, folder: Path, requests: Sequence[tuple[str, str, str, str]]) -> Any:
    done = subprocess.run(
        [mlflow_python(), str(script), str(folder)],
        input=json.dumps(requests),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    return json.loads(done.stdout.rpartition("answers ")[2])


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


def pyfunc_files(folder: Path, version: int) -> ModelFiles:
    described = describe_model(folder)
    return ModelFiles(
        path=folder,
        name="scaled",
        version=version,
        digest=folder.name,
        flavour="python_function",
        options=described.flavours["python_function"],
        signature=described.signature,
        rows="pandas",
    )


def test_params_reach_the_models_that_take_them_and_are_refused_for_others(
    database: Database, tmp_path: Path
) -> None:
    taking, other = fact(
        params_with_mlflow,
        lambda: params_with_mlflow(tmp_path),
        program="mlflow",
        inputs=[TAKEN, REFUSED, UNKNOWN, WITH_PARAMS.read_text()],
    )
    ours = tmp_path / "ours"
    ours.mkdir()
    for version, folder in enumerate(save(ours), 1):
        deploy(database, folder.name, version, model="scaled")
    source = FolderSource(*(pyfunc_files(ours / name, 1 + at) for at, name in enumerate(("with", "without"))))
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, poll_s=0.02))
    process.start()

    def ask(endpoint: str, params: Any) -> tuple[int, Any]:
        headers = {"content-type": JSON, "penstock-endpoint": endpoint}
        answer = httpx.post(f"{process.url}/invocations", content=with_params(params)[3], headers=headers)
        return answer.status_code, answer.json()

    try:
        for params, (status, _, body) in zip(TAKEN, taking, strict=False):
            assert ask("with", params) == (status, json.loads(body)) == (200, json.loads(body)), params
        for params, (status, *_) in zip(REFUSED, taking[len(TAKEN) :], strict=False):
            ours_status, told = ask("with", params)
            assert (ours_status, told["code"]) == (status, "scoring.bad_params") == (400, told["code"]), told
            assert "factor" in told["message"] or "offsets" in told["message"] or "object" in told["message"]
        for params in UNKNOWN:
            status, told = ask("with", params)
            assert (status, told["code"]) == (400, "scoring.bad_params")
            assert "takes no parameter 'unknown'; it takes factor, offsets" in told["message"]
        assert [ask("without", one)[0] for one in TAKEN] == [200, 200, 400, 400]
        assert (
            "takes no parameters, and the request has some: factor" in ask("without", TAKEN[2])[1]["message"]
        )
        # MLflow leaves out silently what a model does not take, which its caller cannot know
        assert {one[0] for one in (*other, *taking[-len(UNKNOWN) :])} == {200}
        many = [TAKEN[2], TAKEN[3], {}] * 20
        with ThreadPoolExecutor(12) as pool:
            found = list(pool.map(lambda one: ask("with", one), many))
        assert found == [ask("with", one) for one in many], "requests of other params are not merged"
    finally:
        process.stop()


def test_params_of_a_version_that_takes_them_do_not_fail_at_its_canary(
    database: Database, tmp_path: Path
) -> None:
    save(tmp_path)
    source = FolderSource(
        *(pyfunc_files(tmp_path / name, 1 + at) for at, name in enumerate(("with", "without")))
    )
    deploy(database, "scaled", 1, model="scaled", canary=(2, 50.0), shadows=(2,))
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, poll_s=0.02))
    process.start()
    try:
        content = with_params({"factor": 10.0})[3]
        found = set()
        for _ in range(40):
            answer = httpx.post(f"{process.url}/invocations", content=content, headers={"content-type": JSON})
            assert answer.status_code == 200, answer.text
            found.add(answer.json()["predictions"][0])
        assert found == {53.0, 5.0}
    finally:
        process.stop()


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
