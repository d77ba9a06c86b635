"""Requests per second of the model server beside its peers: one core for each server, wrk on the other.

    python bench/bench_serving.py [--seconds 8] [--rounds 2] [--case logistic] [--only penstock,plain]

Every contender serves the same estimator in the same run, in turn, `--rounds` times; the median counts. Ratios and
everything measured go to bench/results/serving.json. Peers live in .venv-mlserver and .venv-servers (Makefile).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "serving"))

from models import FEATURES, example_row  # noqa: E402
from running import Contender, Measured, Running, load  # noqa: E402

ROOT = HERE.parent
MLSERVER, SERVERS, OWN = ROOT / ".venv-mlserver/bin", ROOT / ".venv-servers/bin", Path(sys.executable).parent
RESULTS = HERE / "results" / "serving.json"
CLIENTS = {"logistic": 16, "forest": 64}


def contenders(folder: Path, kind: str) -> list[Contender]:
    """Return every server of a case; those that are not installed are left out and named."""
    row = example_row()
    tensor = {"inputs": [{"name": "input-0", "shape": [1, FEATURES], "datatype": "FP64", "data": row}]}
    columns = {
        "inputs": [
            {"name": f"f{index}", "shape": [1], "datatype": "FP64", "data": [value]}
            for index, value in enumerate(row)
        ]
    }
    infer, peers, model = "/v2/models/bench/infer", HERE / "serving" / "peers", str(folder / "model.pkl")
    own = [str(OWN / "python"), str(HERE / "serving" / "ours.py"), str(folder), "{port}", "--kind", kind]
    python = str(SERVERS / "python")
    bento = [
        str(SERVERS / "bentoml"),
        "serve",
        "bento:Bench",
        "--port",
        "{port}",
        "--working-dir",
        str(peers),
    ]
    found = [
        Contender(name="penstock", command=own, path=infer, body=tensor),
        Contender(name="penstock unrecorded", command=[*own, "--no-recording"], path=infer, body=tensor),
        Contender(name="penstock columns", command=own, path=infer, body=columns),
        Contender(
            name="plain starlette",
            command=[str(OWN / "python"), str(peers / "plain.py"), model, "{port}"],
            path=infer,
            body=tensor,
        ),
        *[_mlserver(folder, batch, infer, tensor) for batch in (0, 16, 64)],
        Contender(
            name="mlflow models serve",
            command=[str(SERVERS / "mlflow"), "models", "serve", "-m", str(folder / "mlflow"), "-p", "{port}", "--env-manager", "local", "-w", "1"],
            path="/invocations",
            body={"inputs": [row]},
            environment={"PATH": f"{SERVERS}:{os.environ['PATH']}"},
        ),
        Contender(name="bentoml", command=bento, path="/predict", body={"rows": [row]}, environment={"BENCH_MODEL": model}),
        Contender(name="bentoml batching", command=bento, path="/predict", body={"rows": [row]}, environment={"BENCH_MODEL": model, "BENCH_BATCHING": "1"}),
        Contender(name="litserve", command=[python, str(peers / "lit.py"), model, "{port}"], path="/predict", body={"rows": [row]}),
        Contender(name="litserve batching", command=[python, str(peers / "lit.py"), model, "{port}", "16"], path="/predict", body={"rows": [row]}),
        Contender(name="ray serve", command=[python, str(peers / "rays.py"), model, "{port}"], path="/predict", body={"rows": [row]}, environment={"RAY_DEDUP_LOGS": "0"}),
    ]  # fmt: skip
    return [one for one in found if Path(one.command[0]).exists()]


def _mlserver(folder: Path, batch: int, path: str, body: dict[str, Any]) -> Contender:
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
    # the port is only known when it starts
    script = f'sed -i "s/.*/{{{{\\"http_port\\": {{port}}, \\"grpc_port\\": 0, \\"metrics_port\\": 0, \\"parallel_workers\\": 0, \\"debug\\": false, \\"host\\": \\"127.0.0.1\\"}}}}/" {settings}/settings.json; exec {MLSERVER}/mlserver start {settings}'
    (settings / "settings.json").write_text("{}\n")
    return Contender(
        name=name,
        command=["/bin/sh", "-c", script],
        path=path,
        body=body,
    )


def prepare(folder: Path, kind: str) -> None:
    """Train the model and save what peers need."""
    subprocess.run([str(OWN / "python"), str(HERE / "serving" / "models.py"), kind, str(folder)], check=True)
    if (SERVERS / "python").exists():
        script = str(HERE / "serving" / "peers" / "save_mlflow.py")
        command = [str(SERVERS / "python"), script, str(folder / "model.pkl"), str(folder / "mlflow")]
        subprocess.run(command, check=True, capture_output=True)


def measure(kind: str, seconds: float, rounds: int, only: list[str]) -> dict[str, list[Measured]]:
    """Return what each contender did in each round."""
    found: dict[str, list[Measured]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, kind)
            for one in contenders(folder, kind):
                if only and not any(one.name == name or one.name.startswith(name) for name in only):
                    continue
                running = Running(one, folder)
                try:
                    running.wait()
                    done = load(running, CLIENTS[kind], seconds)
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    print(f"{one.name}: {error}", file=sys.stderr)
                    continue
                finally:
                    running.stop()
                    for leftover in folder.glob("bench.db*"):
                        leftover.unlink()
                found.setdefault(one.name, []).append(done)
                print(f"{kind} {one.name}: {asdict(done)}", flush=True)
    return found


def summary(found: dict[str, list[Measured]]) -> dict[str, Any]:
    """Return the medians of each contender, and how many times its requests ours are."""
    medians = {
        name: {key: round(median(asdict(one)[key] for one in runs), 2) for key in asdict(runs[0])}
        for name, runs in found.items()
    }
    ours = medians.get("penstock", {}).get("requests_per_s")
    for values in medians.values():
        if ours:
            values["times_as_many_by_penstock"] = round(ours / values["requests_per_s"], 2)
    return medians


def main() -> None:
    """Run the cases and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--case", action="append", choices=CLIENTS)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    only = [name for name in options.only.split(",") if name]
    cases = options.case or list(CLIENTS)
    result = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "load_before": os.getloadavg()[0],
        "seconds": options.seconds,
        "rounds": options.rounds,
        "cases": {
            kind: {"clients": CLIENTS[kind], "servers": summary(measure(kind, options.seconds, options.rounds, only))}
            for kind in cases
        },
        "load_after": os.getloadavg()[0],
    }  # fmt: skip
    if not only:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
