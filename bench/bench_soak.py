"""Load on one endpoint while it is deployed, rolled back, and its processes are killed: what clients saw.

    python bench/bench_soak.py [--seconds 60] [--workers 1 --workers 4] [--deploys 20] [--kills 3]

Runs `penstock serve --workers N` and the controller over a copy of the tests' sample project. A request may fail only
when the worker that had it was killed. Writes bench/results/soak.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from serving.soaking import Clients, Story, two_versions  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "soak.json"


def soak(root: Path, workers: int, seconds: float, deploys: int, kills: int) -> dict[str, Any]:
    """Return what clients saw."""
    story = Story(root, workers)
    try:
        with Clients(story.url, 8) as clients:
            began = time.monotonic()
            for number in range(deploys):
                story.deploy(number)
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
        "workers_killed": story.killed,
        "deploys": deploys,
        "p50_ms": round(float(np.quantile(latencies, 0.5)), 2),
        "p99_ms": round(float(np.quantile(latencies, 0.99)), 2),
        "versions": dict(Counter(clients.versions)),
    }


def main() -> None:
    """Run the cases and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--deploys", type=int, default=20)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    found = []
    for workers in options.workers or [1, 4]:
        with tempfile.TemporaryDirectory() as name:
            os.environ.setdefault("PENSTOCK_TESTS_RUN", name)
            root = two_versions(Path(name))
            found.append(soak(root, workers, options.seconds, options.deploys, options.kills))
            print(json.dumps(found[-1]), flush=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
