"""`deploy --shadow` and what `endpoint show` says of the versions that only watch."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import penstock as penstock_client
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.overview import overview
from penstock.http.inference.app import build_inference_app
from penstock.processes.serve import ServeProcess
from penstock.processes.serve_options import ServeOptions
from penstock.workspace import open_workspace
from servers.forking import run_penstock
from stories.live import wait_until

pytestmark = pytest.mark.slow
BODY = {
    "inputs": [
        {"name": "hour", "shape": [2], "datatype": "INT64", "data": [18, 3]},
        {"name": "wind", "shape": [2], "datatype": "FP64", "data": [10.0, 2.0]},
        {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["AA", "AA"]},
    ]
}


@pytest.fixture(scope="module")
def root(two_versions_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("shadows") / "project"
    shutil.copytree(two_versions_root, made, symlinks=True)
    return made


@pytest.fixture(scope="module")
def process(root: Path) -> Iterator[ServeProcess]:
    project = open_workspace(root)
    running = ServeProcess(
        project.database,
        RegistrySource(project),
        build_inference_app,
        ServeOptions(port=0, poll_s=0.02, flush_s=0.1),
    )
    running.start()
    yield running
    running.stop()
    project.close()


def penstock(root: Path, *arguments: str) -> Any:
    done = run_penstock(root, "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def show(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = penstock(root, "endpoint", "show", "delay")
    return found


def test_a_shadow_joins_without_changing_who_answers_and_its_distance_is_shown(
    root: Path, process: ServeProcess
) -> None:
    told = penstock(root, "deploy", "delay", "--shadow", "late/2")
    assert (told["stable"], told["canary"], told["shadows"]) == (1, None, [2])
    for _ in range(5):
        reply = httpx.post(f"{process.url}/v2/models/delay/infer", json=BODY)
        assert reply.headers["penstock-model-version"] == "1"
    wait_until(lambda: show(root)["shadow_differences"][0]["row_count"] == 10)
    (shadow,) = show(root)["shadow_differences"]
    assert (shadow["version"], shadow["request_count"], shadow["error_count"]) == (2, 5, 0)
    assert set(shadow["mean_differences"]) == {"prediction", "probability"}
    assert 0 < shadow["mean_differences"]["probability"] < 0.5
    assert (
        "late/2: 5 requests; prediction differs by" in run_penstock(root, "endpoint", "show", "delay").stdout
    )


def test_a_canary_of_fixed_share_has_no_steps_and_shadows_of_the_file_come_along(root: Path) -> None:
    fixed = penstock(root, "deploy", "delay", "--model", "late/2", "--canary", "30", "--fixed")
    assert (fixed["canary"], fixed["steps"], fixed["shadows"]) == ({"version": 2, "percent": 30.0}, [], [])
    settings = root / "penstock.yaml"
    text = settings.read_text()
    settings.write_text(
        text.replace(
            "    model: late@champion\n", "    model: late@champion\n    traffic: {shadows: [late/2]}\n"
        )
    )
    plain = penstock(root, "deploy", "delay", "--model", "late/1")
    assert (plain["stable"], plain["shadows"]) == (1, [2])


PICKY = """
class Picky:
    def predict(self, rows):
        if max(rows["hour"]) >= 18:
            raise ValueError("no rows after six")
        return [0 for _ in rows["hour"]]
"""


def test_why_a_shadow_fails_is_told_by_status_the_endpoint_and_the_api(
    root: Path, process: ServeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picky.py").write_text(PICKY)
    monkeypatch.syspath_prepend(tmp_path)
    rows = {"hour": [3, 4], "wind": [1.0, 2.0], "carrier": ["AA", "AA"]}
    picky = importlib.import_module("picky")
    penstock_client.save_model(picky.Picky(), tmp_path / "model", rows)
    number = penstock(root, "model", "register", "late", str(tmp_path / "model"))["number"]
    penstock(root, "deploy", "delay", "--shadow", f"late/{number}")

    def told() -> list[str]:
        [status] = penstock(root, "monitor", "status", "delay")
        return list(status["shadow_failures"].values())

    assert httpx.post(f"{process.url}/v2/models/delay/infer", json=BODY).status_code == 200
    sentence = (
        f"shadow version {number}: of the requests it saw 1 failed; the last: ValueError: no rows after six"
    )
    wait_until(lambda: told() == [sentence])
    assert sentence in run_penstock(root, "monitor", "status").stdout
    assert sentence in run_penstock(root, "endpoint", "show", "delay").stdout
    project = open_workspace(root)
    [view] = overview(project)
    project.close()
    assert list(view.shadow_failures.values()) == [sentence]
