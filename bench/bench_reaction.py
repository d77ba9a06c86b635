"""How long a running `penstock up` takes from the first failing request to the switch, with little and much traffic.

A trial deploys a version that fails every request, for all traffic or as a canary, and asks at a steady rate; the
switch is when the serve process has taken the rollback over. `make bench-reaction` writes
bench/results/reaction.json.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import sharing  # noqa: E402
from penstock.base.clock import now_ms  # noqa: E402
from penstock.flows.production.awaiting import wait_until_served  # noqa: E402
from penstock.flows.production.deploying import plan_deployment  # noqa: E402
from penstock.flows.production.revising import apply_deployment  # noqa: E402
from penstock.project.project import Project  # noqa: E402
from penstock.serving.deployments import Revision, get_revision  # noqa: E402
from penstock.serving.workers import worker_revisions  # noqa: E402
from penstock.workspace import open_workspace  # noqa: E402
from projects import Sample  # noqa: E402
from stories.live import Up, wait_until  # noqa: E402
from stories.versions import Versions  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "reaction.json"
LIMIT_S = 2.0
SETTINGS = """\
project: sample
model: {name: late, path: models/late}
endpoints:
  delay:
    model: late@champion
    guardrails:
      - errors: {max_ratio: 0.05}
    on_breach: [rollback, alert]
"""
CASES: dict[str, tuple[float, float | None]] = {
    "2 a second, whole version": (2, None),
    "5 a second, whole version": (5, None),
    "5 a second, canary of 50 %": (5, 50.0),
    "100 a second, canary of 20 %": (100, 20.0),
}
BODY = json.dumps(
    {
        "inputs": [
            {"name": "hour", "shape": [1], "datatype": "INT64", "data": [9]},
            {"name": "wind", "shape": [1], "datatype": "FP64", "data": [11.5]},
            {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["AA"]},
        ]
    }
)


@dataclass
class Traffic:
    """Asks at a steady rate and notes when requests were sent that failed, in milliseconds since the epoch."""

    port: int
    rate: float
    failed_ms: list[int] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until it is to stop."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        next_s = time.monotonic()
        while not self.stopping.wait(max(0.0, next_s - time.monotonic())):
            next_s += 1 / self.rate
            sent_ms = now_ms()
            connection.request("POST", "/v2/models/delay/infer", BODY)
            response = connection.getresponse()
            response.read()
            if response.status >= 500:
                self.failed_ms.append(sent_ms)
        connection.close()


def current(project: Project) -> Revision:
    """Return what the store says is served."""
    with project.database.read() as connection:
        return get_revision(connection, "delay")


def taken_over_ms(project: Project, revision: int) -> int | None:
    """Return when the serve process took a revision over; None when it has not yet."""
    column = worker_revisions.c.time_ms
    wanted = (worker_revisions.c.revision == revision) & (worker_revisions.c.state == "ready")
    with project.database.read() as connection:
        found: int | None = connection.scalar(sa.select(column).where(wanted))
    return found


def trial(project: Project, reference: str, port: int, rate: float, canary: float | None) -> dict[str, float]:
    """Deploy a version that fails, and return what its way out took, in seconds from the first failing request."""
    traffic = Traffic(port, rate)
    thread = threading.Thread(target=traffic.run)
    thread.start()
    try:
        plan = plan_deployment(project, "delay", reference, canary=canary)
        number = apply_deployment(project, plan).number
        wait_until(lambda: current(project).number > number)
        wait_until(lambda: taken_over_ms(project, number + 1) is not None)
    finally:
        traffic.stopping.set()
        thread.join()
    back = current(project)
    assert back.kind == "rolled_back", back
    first_ms, switched_ms = traffic.failed_ms[0], taken_over_ms(project, number + 1)
    assert switched_ms is not None
    before = [one for one in traffic.failed_ms if one <= back.created_ms]
    return {
        "switched_s": (switched_ms - first_ms) / 1000,
        "decided_s": (back.created_ms - first_ms) / 1000,
        "failed": len(before),
    }


def measure(project: Project, versions: Versions, port: int, trials: int) -> dict[str, Any]:
    """Return the times of each case."""
    found = {}
    for name, (rate, canary) in CASES.items():
        made = [versions.make(good=False) for _ in range(trials)]
        done = [trial(project, one, port, rate, canary) for one in made]
        switched = [one["switched_s"] for one in done]
        found[name] = {
            "trials": trials,
            "switched_p50_s": round(float(np.quantile(switched, 0.5)), 2),
            "switched_p95_s": round(float(np.quantile(switched, 0.95)), 2),
            "decided_p50_s": round(float(np.median([one["decided_s"] for one in done])), 2),
            "failed_before_median": float(np.median([one["failed"] for one in done])),
            "all_s": [round(one, 2) for one in switched],
        }
        print(name, found[name], flush=True)
    return found


def main() -> None:
    """Measure and write the result; exit 1 where the limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    sharing.begin()
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-reaction-") as folder:
            sample = Sample.make(Path(folder) / "sample")
            sample.write("penstock.yaml", SETTINGS)
            project = open_workspace(sample.root, {"USER": "ada"})
            versions = Versions(project)
            up = Up(sample.root, Path(folder) / "log", programs=True)
            up.start()
            try:
                first = apply_deployment(project, plan_deployment(project, "delay", versions.make(good=True)))
                wait_until_served(project, first, 60)
                found = measure(project, versions, up.serve_port, options.trials)
            finally:
                up.stop()
                project.close()
    finally:
        sharing.end()
    load = [round(one, 1) for one in os.getloadavg()]
    options.results.write_text(json.dumps({"limit_s": LIMIT_S, "load_average": load, "cases": found}, indent=2) + "\n")  # fmt: skip
    sys.exit(any(one["switched_p95_s"] > LIMIT_S for one in found.values()))


if __name__ == "__main__":
    main()
