"""Load on one endpoint while it is deployed, rolled back, and its processes are killed: what clients saw.

    python bench/bench_soak.py [--seconds 60] [--workers 1 --workers 4] [--store sqlite --store postgresql]
        [--deploys 20] [--kills 3]

Runs `penstock serve --workers N` and the controller over a copy of the tests' sample project, and kills the controller
once and workers `--kills` times. A request may fail only when the worker that had it, or at which its connection waited,
was killed. What a change of
versions costs is told by latencies around it beside those just before (`swaps.py`). Writes bench/results/soak.json.
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

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from swaps import Latencies, Span, describe, swaps  # noqa: E402

import sharing  # noqa: E402
from servers.postgres import PostgresServer  # noqa: E402
from serving import clients  # noqa: E402
from serving.soaking import Story, two_versions  # noqa: E402
from stories.live import wait_until  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "soak.json"


CLIENTS = 8
LONG = ("each", "by_second")


def soak(root: Path, workers: int, seconds: float, deploys: int, kills: int) -> dict[str, Any]:
    """Return what clients saw."""
    story = Story(root, workers)
    changed_s: list[float] = []
    killed: list[Span] = []
    command = [sys.executable, str(Path(clients.__file__)), story.url, str(CLIENTS)]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as asking:
            began_s = time.monotonic()
            for number in range(deploys):
                time.sleep(max(0.0, began_s + seconds * (number + 0.8) / deploys - time.monotonic()))
                story.deploy(number, changed_s)
                if number == deploys // 2:
                    story.kill_controller()
                if kills and number % max(1, deploys // kills) == 1:
                    killed.append(_kill(story))
            time.sleep(max(0.0, began_s + seconds - time.monotonic()))
            ended_s = time.monotonic()
            told = json.loads(asking.communicate(b"")[0])
    finally:
        story.stop()
    answers = [clients.Answer(**one) for one in told["answers"]]
    latencies = Latencies([one.ended_s for one in answers], [one.latency_s for one in answers])
    statuses = Counter(one.status for one in answers)
    return {
        "workers": workers,
        "seconds": round(ended_s - began_s, 1),
        "requests": len(answers),
        "statuses": dict(statuses),
        "broken_connections": len(told["broken"]),
        "broken_by": dict(Counter(told["broken"])),
        "is_whole": set(statuses) == {200} and len(told["broken"]) <= CLIENTS * story.killed,
        "workers_killed": story.killed,
        "controllers_killed": 1,
        "deploys": deploys,
        "versions": dict(Counter(one.version for one in answers)),
        "all": describe(latencies.within(began_s, ended_s)),
        **swaps(latencies, changed_s, killed),
        "by_second": latencies.by_second(began_s, ended_s),
    }


def _kill(story: Story) -> Span:
    """Kill a worker; return how long it was until all served again."""
    start_s = time.monotonic()
    story.kill_worker()
    wait_until(lambda: len(story.alive()) == story.workers)
    return Span(start_s, time.monotonic())


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


def _render(found: list[dict[str, Any]]) -> str:
    """Return the results as JSON, what is told of one second or change on one line."""
    cases = []
    for one in found:
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in one.items() if key not in LONG]
        for key in LONG:
            rows = ",\n".join(f"   {json.dumps(row)}" for row in one[key])
            lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
        cases.append(" {\n" + ",\n".join(lines) + "\n }")
    return "[\n" + ",\n".join(cases) + "\n]\n"


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
                print(json.dumps({key: one for key, one in found[-1].items() if key not in LONG}), flush=True)
    finally:
        sharing.end()
    options.results.write_text(_render(found))
    sys.exit(not all(one["is_whole"] for one in found))


if __name__ == "__main__":
    main()
