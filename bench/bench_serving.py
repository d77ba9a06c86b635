"""Requests per second of the model server beside its peers: one core for each server, wrk on the other.

    python bench/bench_serving.py [--seconds 8] [--rounds 2] [--case logistic] [--only penstock,plain]

Every contender serves the same estimator in the same run, in turn, `--rounds` times; the median counts. Ratios and
everything measured go to bench/results/serving.json, where a case replaces its last figures. Ours is `penstock serve` on a project
made for it; peers live in .venv-mlserver and .venv-servers (Makefile). Only the case `workers` has both cores for servers and wrk alike.
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

from contenders import CASES, OWN, SERVERS, taking_part  # noqa: E402
from running import Measured, Running, load  # noqa: E402

RESULTS = HERE / "results" / "serving.json"


def prepare(folder: Path, case: str) -> None:
    """Train the model, release it and save what peers need."""
    subprocess.run(
        [str(OWN / "python"), str(HERE / "serving" / "models.py"), CASES[case][0], str(folder)], check=True
    )
    if case == "logistic" and (SERVERS / "python").exists():
        script = str(HERE / "serving" / "peers" / "save_mlflow.py")
        command = [str(SERVERS / "python"), script, str(folder / "model.pkl"), str(folder / "mlflow")]
        subprocess.run(command, check=True, capture_output=True)


def measure(case: str, seconds: float, rounds: int, only: list[str]) -> dict[str, list[Measured]]:
    """Return what each contender did in each round."""
    found: dict[str, list[Measured]] = {}
    server_core, client_core = ("0,1", "0,1") if case == "workers" else ("0", "1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, case)
        for _ in range(rounds):
            for one in taking_part(case, folder):
                if only and not any(one.name.startswith(name) for name in only):
                    continue
                running = Running(one, folder, server_core)
                try:
                    running.wait()
                    done = load(running, CASES[case][2], seconds, client_core)
                except (RuntimeError, subprocess.CalledProcessError) as error:
                    print(f"{one.name}: {error}", file=sys.stderr)
                    continue
                finally:
                    running.stop()
                found.setdefault(one.name, []).append(done)
                print(f"{case} {one.name}: {asdict(done)}", flush=True)
    return found


def summary(found: dict[str, list[Measured]]) -> dict[str, Any]:
    """Return the medians of each contender, and how many times its requests the first one's are."""
    medians = {
        name: {key: round(median(asdict(one)[key] for one in runs), 2) for key in asdict(runs[0])}
        for name, runs in found.items()
    }
    first = next(iter(medians.values()), {}).get("requests_per_s")
    for values in medians.values():
        if first:
            values["times_as_many_by_the_first"] = round(first / values["requests_per_s"], 2)
    return medians


def main() -> None:
    """Run the cases and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--case", action="append", choices=CASES)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    only = [name for name in options.only.split(",") if name]
    cases = options.case or list(CASES)
    found: dict[str, Any] = {}
    for case in cases:
        load = os.getloadavg()[0]
        servers = summary(measure(case, options.seconds, options.rounds, only))
        found[case] = {
            "clients": CASES[case][2], "seconds": options.seconds, "rounds": options.rounds,
            "load": [load, os.getloadavg()[0]], "servers": servers,
        }  # fmt: skip
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
    result = {"machine": machine, "cases": found}
    if not only:
        kept = json.loads(RESULTS.read_text())["cases"] if options.case and RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**result, "cases": {**kept, **found}}, indent=1) + "\n")
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
