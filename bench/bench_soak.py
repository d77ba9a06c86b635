"""Load on one endpoint while it is deployed, rolled back, and its processes are killed: what clients saw.

    python bench/bench_soak.py [--seconds 60] [--workers 1 --workers 4] [--store sqlite --store postgresql]
        [--deploys 20] [--kills 3]

Runs `penstock serve --workers N` and the controller over a copy of the tests' sample project, and kills the controller
once and workers `--kills` times. A request may fail only when the worker that had it was killed. Writes
bench/results/soak.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import sharing  # noqa: E402
from servers.postgres import PostgresServer  # noqa: E402
from serving.soaking import Clients, Story, two_versions  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "soak.json"


CLIENTS = 8


def soak(root: Path, workers: int, seconds: float, deploys: int, kills: int) -> dict[str, Any]:
    """Return what clients saw."""
    story = Story(root, workers)
    try:
        with Clients(story.url, CLIENTS) as clients:
            began = time.monotonic()
            for number in range(deploys):
                story.deploy(number)
                if number == deploys // 2:
                    story.kill_controller()
                if kills and number % max(1, deploys // kills) == 1:
                    story.kill_worker()
                time.sleep(max(0.0, began + seconds * (number + 1) / deploys - time.monotonic()))
    finally:
        story.stop()
    latencies = np.array(clients.latencies_s) * 1000
    return {
        "workers": workers,
        "seconds": round(time.monotonic() - began, 1),
        "requests": len(latencies),
        "statuses": dict(Counter(clients.statuses)),
        "broken_connections": clients.broken,
        "is_whole": set(clients.statuses) == {200} and clients.broken <= CLIENTS * story.killed,
        "workers_killed": story.killed,
        "controllers_killed": 1,
        "deploys": deploys,
        "p50_ms": round(float(np.quantile(latencies, 0.5)), 2),
        "p99_ms": round(float(np.quantile(latencies, 0.99)), 2),
        "versions": dict(Counter(clients.versions)),
    }


def copy_store(root: Path) -> str:
    """Return the URL of a PostgreSQL store with all that the project's own store holds."""
    server: PostgresServer = sharing.shared_server("postgres")
    url = server.new_schema()
    command = [
        sys.executable,
        "-m",
        "penstock.cli",
        "db",
        "copy",
        f"sqlite:///{root}/.penstock/penstock.db",
        url,
    ]
    subprocess.run(command, check=True, capture_output=True)
    return url


def main() -> None:
    """Run the cases and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--store", action="append", choices=("sqlite", "postgresql"))
    parser.add_argument("--deploys", type=int, default=20)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = []
    sharing.begin()
    try:
        for store in options.store or ["sqlite", "postgresql"]:
            for workers in options.workers or [1, 4]:
                os.environ.pop("PENSTOCK_STORE", None)
                with tempfile.TemporaryDirectory(prefix="penstock-soak-") as name:
                    root = two_versions(Path(name))
                    if store == "postgresql":
                        os.environ["PENSTOCK_STORE"] = copy_store(root)
                    done = soak(root, workers, options.seconds, options.deploys, options.kills)
                found.append({"store": store, **done})
                print(json.dumps(found[-1]), flush=True)
    finally:
        sharing.end()
    options.results.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(not all(one["is_whole"] for one in found))


if __name__ == "__main__":
    main()
