"""What a model must not answer is an error of its version, told to its caller, and nothing of the process."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

import penstock
from patience import PATIENCE_S
from penstock.base.errors import Invalid
from penstock.base.store.database import Database
from penstock.flows.models.folders import files_of_folder
from penstock.http.inference.app import build_inference_app
from penstock.monitoring.windows import list_windows
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.serving.loaders import load_model
from serving.fatal import Fatal, Odd
from serving.models import FolderSource, deploy
from serving.own_models import Turning

ANSWERED = {0: [1.0, 2.0], 2: [None, None], 8: [None, None]}
"""What is JSON of what is no number, beside a right answer."""
KINDS = 13


def test_a_model_that_asks_to_end_the_process_while_it_is_loaded_does_not_load(tmp_path: Path) -> None:
    asks = tmp_path / "asks"
    penstock.save_model(Fatal(str(asks)), tmp_path / "fatal", inputs=[[0.0, 1.0]])
    asks.touch()
    with pytest.raises(Invalid, match=r"does not load: its code ends the process \(SystemExit: 3\)"):
        load_model(files_of_folder(tmp_path / "fatal", "fatal", 1, "d"))


def test_what_no_model_should_answer_is_its_error(database: Database, tmp_path: Path) -> None:
    penstock.save_model(Odd(), tmp_path / "odd", inputs=[[0.0, 1.0], [0.0, 2.0]])
    source = FolderSource(files_of_folder(tmp_path / "odd", "odd", 1, "d"))
    deploy(database, "odd", 1, model="odd")
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, flush_s=0.1))
    process.start()
    failed, found = 0, {}
    try:
        with httpx.Client(base_url=process.url, timeout=PATIENCE_S) as client:
            for kind in (*range(KINDS), 0):
                data = [float(kind), 1.0 - kind, float(kind), 2.0 - kind]
                tensor = {"name": "input-0", "shape": [2, 2], "datatype": "FP64", "data": data}
                answer = client.post("/v2/models/odd/infer", json={"inputs": [tensor]})
                if answer.status_code == 200:
                    found[kind] = answer.json()["outputs"][0]["data"]
                else:
                    failed += 1
                    assert (answer.status_code, answer.json()["code"]) == (500, "serving.model_failed"), kind
    finally:
        process.stop()
    assert found == ANSWERED
    assert failed == KINDS - len(ANSWERED)
    with database.read() as connection:
        windows = list_windows(connection, "odd")
    assert sum(one.error_count for one in windows) == failed
    assert sum(one.nonfinite_count for one in windows) == 2


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_nothing_and_complex_numbers_are_no_answer_of_one_row_either(
    database: Database, tmp_path: Path
) -> None:
    """One row of None could be taken for one missing number, and an imaginary part be lost without a word."""
    penstock.save_model(Turning(), tmp_path / "turning", inputs=[[0.0, 1.0]])
    source = FolderSource(files_of_folder(tmp_path / "turning", "turning", 1, "d"))
    deploy(database, "turning", 1, model="turning")
    process = ServeProcess(database, source, build_inference_app, ServeOptions(port=0, flush_s=0.1))
    process.start()
    try:
        with httpx.Client(base_url=process.url, timeout=PATIENCE_S) as client:
            assert client.get("/v2/models/turning").json()["platform"] == "penstock_python"
            for kind, words in ((1, "None"), (2, "None"), (3, "complex numbers"), (0, "")):
                tensor = {"name": "input-0", "shape": [1, 2], "datatype": "FP64", "data": [kind, 1.0]}
                answer = client.post("/v2/models/turning/infer", json={"inputs": [tensor]})
                assert answer.status_code == (500 if words else 200), kind
                if words:
                    assert answer.json()["code"] == "serving.model_failed"
                    assert f"gave {words} for 'prediction'" in answer.json()["error"]
    finally:
        process.stop()


def test_a_model_that_answers_nothing_or_complex_numbers_is_not_saved(tmp_path: Path) -> None:
    for kind, words in ((1.0, "gave None"), (2.0, "gave None"), (3.0, "complex numbers")):
        for count in (1, 2):
            with pytest.raises(Invalid, match=words):
                penstock.save_model(Turning(), tmp_path / "m", inputs=[[kind, 1.0]] * count)
