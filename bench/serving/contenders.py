"""Who takes part in each case: how each server is started, and what it is asked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from models import FEATURES, example_row, mixed_inputs
from running import Contender

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MLSERVER, SERVERS, OWN = ROOT / ".venv-mlserver/bin", ROOT / ".venv-servers/bin", Path(sys.executable).parent
PATH = "/v2/models/bench/infer"
BINARY_ROWS = 2048
"""Of 64 features: 1 MB."""


def taking_part(case: str, folder: Path) -> list[Contender]:
    """Return the servers of a case that are installed, ours first."""
    found = CASES[case][1](folder)
    return [one for one in found if Path(one.command[0]).exists()]


def ours(folder: Path, body: Any, *options: str, name: str = "penstock", **more: Any) -> Contender:
    """Return `penstock serve` on the project in a folder."""
    project = str(folder / "project")
    command = [str(OWN / "penstock"), "-C", project, "serve", "--port", "{port}", *options]
    return Contender(name=name, command=command, path=PATH, body=body, **more)


def one_tensor(folder: Path) -> list[Contender]:
    """64 columns as one tensor, against everybody."""
    row = example_row()
    tensor = {"inputs": [{"name": "input-0", "shape": [1, FEATURES], "datatype": "FP64", "data": row}]}
    columns = {
        "inputs": [
            {"name": f"f{index}", "shape": [1], "datatype": "FP64", "data": [value]}
            for index, value in enumerate(row)
        ]
    }
    served = ours(folder, tensor)
    unrecorded = [str(OWN / "python"), str(HERE / "unrecorded.py"), *served.command[1:]]
    return [
        served,
        replace(served, name="penstock unrecorded", command=unrecorded),
        ours(folder, columns, name="penstock columns"),
        *_plain(folder, tensor),
        *(_mlserver(folder, batch, tensor) for batch in (0, 16, 64)),
        *_others(folder, row),
    ]


def forest(folder: Path) -> list[Contender]:
    """The same for a model that takes long."""
    row = example_row()
    tensor = {"inputs": [{"name": "input-0", "shape": [1, FEATURES], "datatype": "FP64", "data": row}]}
    return [
        ours(folder, tensor),
        *_plain(folder, tensor),
        *(_mlserver(folder, batch, tensor) for batch in (0, 16, 64)),
    ]


def boosted(folder: Path) -> list[Contender]:
    """20 named columns of three types; MLServer reads them as a frame of pandas."""
    inputs = mixed_inputs()
    told = [
        {**one, "parameters": {"content_type": "str"}} if one["datatype"] == "BYTES" else one
        for one in inputs
    ]
    frame = {"parameters": {"content_type": "pd"}, "inputs": told}
    return [
        ours(folder, {"inputs": inputs}),
        *(_mlserver(folder, batch, frame) for batch in (0, 16)),
    ]


def binary(folder: Path) -> list[Contender]:
    """1 MB of numbers: binary tensors over HTTP against MLServer's JSON."""
    rows = np.random.default_rng(2).normal(size=(BINARY_ROWS, FEATURES))
    tensor = {"name": "input-0", "shape": list(rows.shape), "datatype": "FP64"}
    head = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": rows.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    text = json.dumps(head).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    plain = {"inputs": [{**tensor, "data": rows.round(6).ravel().tolist()}]}
    return [
        ours(folder, text + rows.tobytes(), headers=headers),
        ours(folder, plain, name="penstock JSON"),
        _mlserver(folder, 0, plain),
    ]


def grpc(folder: Path) -> list[Contender]:
    """One row of 64 features over gRPC, contents typed, as MLServer reads them."""
    from tritonclient.grpc import service_pb2

    tensor = service_pb2.ModelInferRequest.InferInputTensor(
        name="input-0", datatype="FP64", shape=[1, FEATURES]
    )
    tensor.contents.fp64_contents.extend(example_row())
    asked = service_pb2.ModelInferRequest(model_name="bench", inputs=[tensor]).SerializeToString()
    return [
        ours(folder, asked, "--grpc-port", "{grpc_port}", is_grpc=True),
        *(replace(_mlserver(folder, batch, {}), body=asked, is_grpc=True) for batch in (0, 16)),
    ]


def workers(folder: Path) -> list[Contender]:
    """One and two processes on the port, on both cores, which wrk uses as well."""
    found = one_tensor(folder)[0]
    return [
        replace(found, name=f"penstock {count}", command=[*found.command, "--workers", count])
        for count in ("2", "1")
    ]


def _plain(folder: Path, tensor: Any) -> list[Contender]:
    command = [str(OWN / "python"), str(HERE / "peers/plain.py"), str(folder / "model.pkl"), "{port}"]
    return [Contender(name="plain starlette", command=command, path=PATH, body=tensor)]


def _others(folder: Path, row: Sequence[float]) -> list[Contender]:
    model, peers, python = str(folder / "model.pkl"), HERE / "peers", str(SERVERS / "python")
    asked = {"rows": [row]}

    def asking(name: str, *command: str, **environment: str) -> Contender:
        return Contender(name=name, command=command, path="/predict", body=asked, environment=environment)

    bento = (
        str(SERVERS / "bentoml"),
        "serve",
        "bento:Bench",
        "--port",
        "{port}",
        "--working-dir",
        str(peers),
    )
    mlflow = (str(SERVERS / "mlflow"), "models", "serve", "-m", str(folder / "mlflow"), "-p", "{port}")
    return [
        replace(
            asking("mlflow models serve", *mlflow, "--env-manager", "local", "-w", "1", PATH=f"{SERVERS}:{os.environ['PATH']}"),
            path="/invocations",
            body={"inputs": [row]},
        ),
        asking("bentoml", *bento, BENCH_MODEL=model),
        asking("bentoml batching", *bento, BENCH_MODEL=model, BENCH_BATCHING="1"),
        asking("litserve", python, str(peers / "lit.py"), model, "{port}"),
        asking("litserve batching", python, str(peers / "lit.py"), model, "{port}", "16"),
        asking("ray serve", python, str(peers / "rays.py"), model, "{port}", RAY_DEDUP_LOGS="0"),
    ]  # fmt: skip


def _mlserver(folder: Path, batch: int, body: Any) -> Contender:
    name = f"mlserver batch {batch}" if batch else "mlserver"
    settings = folder / name.replace(" ", "-")
    settings.mkdir(exist_ok=True)
    model: dict[str, Any] = {
        "name": "bench",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(folder / "model.pkl"), "version": "1"},
    }
    if batch:
        model |= {"max_batch_size": batch, "max_batch_time": 0.005}
    (settings / "model-settings.json").write_text(json.dumps(model))
    fixed = {"metrics_port": 0, "parallel_workers": 0, "debug": False, "host": "127.0.0.1"}
    (settings / "settings.json").write_text(json.dumps(fixed))
    # the ports are only known when it starts
    ports = "MLSERVER_HTTP_PORT={port} MLSERVER_GRPC_PORT={grpc_port}"
    script = f"{ports} exec {MLSERVER}/mlserver start {settings}"
    return Contender(name=name, command=["/bin/sh", "-c", script], path=PATH, body=body)


CASES = {
    "logistic": ("logistic", one_tensor, 16),
    "forest": ("forest", forest, 64),
    "boosted": ("boosted", boosted, 16),
    "binary": ("logistic", binary, 16),
    "grpc": ("logistic", grpc, 16),
    "workers": ("logistic", workers, 16),
}
"""By name: the model, who takes part, and how many ask at once."""
