"""KServe's clients, unchanged: `InferenceRESTClient` and `InferenceGRPCClient`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from penstock.processes.serve import ServeProcess
from penstock.serving.manifests.deployable import Deployable
from penstock.serving.manifests.inference_services import render_kserve
from servers.programs import missing
from serving.rpc import address

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).with_name("ask_with_kserve.py")
CHECK = Path(__file__).with_name("check_with_kserve.py")
BODY = {
    "inputs": [
        {"name": "hour", "shape": [2], "datatype": "INT64", "data": [5, 20]},
        {"name": "distance", "shape": [2], "datatype": "FP64", "data": [900.0, 1100.0]},
        {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["AA", "UA"]},
    ]
}


def python() -> str:
    """Return the interpreter that has KServe; without one the test is skipped."""
    found = os.environ.get("PENSTOCK_KSERVE_PYTHON")
    if not found or not Path(found).exists():
        missing("KServe (set PENSTOCK_KSERVE_PYTHON)", "python3-venv")
    return found


def test_its_clients_get_what_everybody_gets_in_json_in_binary_and_over_grpc(plain: ServeProcess) -> None:
    command = [python(), str(SCRIPT), plain.url, address(plain)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.rpartition("answers ")[2])
    answer = httpx.post(f"{plain.url}/v2/models/delay/infer", json=BODY).json()
    outputs = {one["name"]: one["data"] for one in answer["outputs"]}
    assert (found["live"], found["ready"], found["model"]) == (True, True, [True, False])
    for name in ("json", "binary", "grpc"):
        assert found[name] == {"id": "seven", "outputs": outputs}, name
    assert found["chosen"]["outputs"] == {"probability": outputs["probability"]}
    assert "nope" in found["mistake"] and "404" in found["mistake"]
    assert found["grpc_ready"] == [True, True]


def test_its_types_have_every_key_of_the_manifest() -> None:
    made = yaml.safe_load(
        render_kserve(Deployable("delay", "registry.example.org/delay:7"))["inferenceservice.yaml"]
    )
    wrong = {**made, "spec": {"predictor": {**made["spec"]["predictor"], "replicas": 2}}}
    told = [
        subprocess.run(
            [python(), str(CHECK)],
            input=json.dumps(one),
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout.split()
        for one in (made, wrong)
    ]
    assert told == [[], ["service.spec.predictor.replicas"]]
