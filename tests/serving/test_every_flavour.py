"""Models of every library on one serve process: logged, registered, gated, deployed, answered as the library answers.

Their worker is killed, and the one that begins in its place answers the same.
"""

from __future__ import annotations

import os
import pickle
import re
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pytest

import penstock
from patience import PATIENCE_S
from penstock.base.clock import now_ms
from penstock.base.errors import Refused
from penstock.data.verbs.creation import init_repository
from penstock.flows.models.folders import RegistrySource
from penstock.flows.models.judging import run_gate_on
from penstock.flows.models.registering import register_model
from penstock.flows.production.deploying import plan_deployment
from penstock.flows.production.revising import apply_deployment
from penstock.project.project import Project
from penstock.records.flavours import OWN
from penstock.serving.loaders import load_model
from penstock.serving.loaders.fed import example_columns
from penstock.serving.workers import list_alive
from penstock.workspace import open_workspace
from servers.forking import Forked, start_penstock
from serving.own_models import Custom
from serving.trained import CASES, X, matrix, saved
from stories.live import is_running, wait_until

pytestmark = pytest.mark.slow
SETTINGS = "project: every\nmodel: {name: every, path: models/every}\ngates:\n  - size: {max_mb: 20}\n"
NAMES = {name: name.replace(" ", "-") for name, _ in CASES}
ABSENT = [name for name, _ in CASES if find_spec(name.partition(" ")[0]) is None]
"""What PyTorch's are where it was not installed; CI installs everything."""
Expected = dict[str, dict[str, Any]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    root = tmp_path / "project"
    root.mkdir()
    init_repository(root, no_scm=True, subdir=False, force=False)
    (root / "penstock.yaml").write_text(SETTINGS)
    monkeypatch.chdir(root)
    for name in ("PENSTOCK_URI", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")
    opened = open_workspace(root)
    yield opened
    opened.close()


def register_all(project: Project) -> Expected:
    """Log and register everything; return what each model's library answers for its first five rows."""
    found: Expected = {}
    with penstock.start_run(experiment="every", system_metrics=False):
        for name, _ in CASES:
            if name in ABSENT:
                continue
            folder, found[NAMES[name]] = saved(name)
            penstock.log_model(folder, NAMES[name], registered_model_name=NAMES[name])
        sums = {"prediction": X[:5].sum(axis=1) * 3}
        penstock.log_model(Custom(3.0), "learned", inputs=matrix(5), registered_model_name="learned")
    model, _, answers = dict(CASES)["sklearn matrix"]()
    Path("model.pkl").write_bytes(pickle.dumps(model))
    joblib.dump(model, "model.joblib")
    for name in ("pkl", "joblib"):
        register_model(project, name, f"model.{name}")
    return {**found, "learned": sums, "pkl": answers, "joblib": answers}


def request_of(project: Project, model: str) -> dict[str, Any]:
    """Return a request for the model's example rows, or for the rows that a lone file was trained with."""
    predictor = load_model(files := RegistrySource(project).fetch(model, 1))
    columns = {} if files.example is None else example_columns(predictor.signature, files.example) or {}
    inputs = predictor.signature.inputs
    rows = {one.name: columns.get(one.name, X[:5]) for one in inputs}
    return {
        "inputs": [
            {
                "name": one.name,
                "datatype": one.datatype,
                "shape": list(rows[one.name].shape),
                "data": rows[one.name].tolist(),
            }
            for one in inputs
        ]
    }


class Serving:
    """`penstock serve` with one worker."""

    def __init__(self, project: Project) -> None:
        self._project, self._log = project, project.root / "serve.log"
        words = ["-C", str(project.root), "serve", "--port", "0", "--workers", "1"]
        with self._log.open("wb") as log:
            self.process: Forked = start_penstock(words, project.root, log.fileno())
        wait_until(lambda: re.search(r"serves on (\S+);", self._log.read_text()) is not None)
        self.url = re.findall(r"serves on (\S+);", self._log.read_text())[0]
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE_S)

    def worker(self) -> int:
        """Return the process id of the worker that runs, waited for."""
        deadline_s = time.monotonic() + 120
        while True:
            with self._project.database.read() as connection:
                alive = list_alive(connection, now_ms())
            found = [one.pid for one in alive if is_running(one.pid)]
            if found:
                return found[0]
            assert time.monotonic() < deadline_s, self._log.read_text()
            time.sleep(0.05)

    def ask(self, requests: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Ask every endpoint, when all are ready; return their outputs by name."""
        wait_until(lambda: self.client.get("/v2/health/ready").status_code == 200)
        found = {}
        for name, body in requests.items():
            answer = self.client.post(f"/v2/models/{name}/infer", json=body)
            assert answer.status_code == 200, (name, answer.text)
            found[name] = {one["name"]: one for one in answer.json()["outputs"]}
        return found

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self.process.terminate()
        self.process.wait(60)


def test_every_library_answers_in_a_server_as_it_does_alone_also_after_its_worker_was_killed(
    project: Project,
) -> None:
    expected = register_all(project)
    with pytest.raises(Refused, match="no gate has judged"):
        plan_deployment(project, "pkl", "pkl/1")
    for name in expected:
        assert run_gate_on(project, f"{name}/1").passed
        apply_deployment(project, plan_deployment(project, name, f"{name}/1"))
    requests = {name: request_of(project, name) for name in expected}
    source = RegistrySource(project)
    flavours = {source.fetch(name, 1).flavour for name in expected}
    assert flavours == set(OWN) - ({"penstock_torch"} if ABSENT else set())
    serving = Serving(project)
    try:
        first = serving.ask(requests)
        killed = serving.worker()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not is_running(killed))
        assert serving.worker() != killed
        second = serving.ask(requests)
    finally:
        serving.stop()
    assert second == first
    for name, library in expected.items():
        assert list(first[name]) == list(library), name
        for output, values in library.items():
            told, wanted = first[name][output], np.asarray(values)
            given = np.asarray(told["data"]).reshape(told["shape"])
            assert given.shape == wanted.shape, (name, output)
            if wanted.dtype.kind == "f":
                tolerance = 1e-5 if wanted.dtype.itemsize == 4 else 1e-12
                assert np.allclose(given, wanted, rtol=tolerance), (name, output)
            else:
                assert given.tolist() == wanted.tolist(), (name, output)
    if ABSENT:
        pytest.skip(f"all but {', '.join(ABSENT)}, whose packages are not installed")
