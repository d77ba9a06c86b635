"""Every page on a store that has grown: time of the server, size, time until it is ready in Chromium; MLflow's run table beside it.

    .venv/bin/python bench/bench_pages.py [--quick] [--without-mlflow]

10,000 runs with 20 metrics each, 1,000,000 points, 200 features monitored, 1,000 versions. Both servers run as a user
would start them. Results go to `bench/results/pages.json`; ends with 1 where a page is above a limit.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import msgspec  # noqa: E402
import numpy as np  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402
from tracking_fill import fill  # noqa: E402
from tracking_servers import run_server  # noqa: E402

import sharing  # noqa: E402
from penstock.base.clock import now_ms  # noqa: E402
from penstock.flows.production.deploying import plan_deployment  # noqa: E402
from penstock.flows.production.revising import apply_deployment  # noqa: E402
from penstock.monitoring.latency import LatencyHistogram  # noqa: E402
from penstock.monitoring.profile import Profile  # noqa: E402
from penstock.monitoring.quality.measures import Quality  # noqa: E402
from penstock.monitoring.windows import Partial, Window, WindowKey, add_partials  # noqa: E402
from penstock.project.project import Project  # noqa: E402
from penstock.registry.versions import add_version, get_version  # noqa: E402
from penstock.serving.deployments import get_revision  # noqa: E402
from penstock.tracking.experiments import ensure_experiment  # noqa: E402
from projects import Sample, rows  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "pages.json"
RUNS, METRICS, POINTS, FEATURES, VERSIONS, WINDOWS, CHANGES = 10_000, 20, 1_000_000, 200, 1_000, 240, 30
CURVES = 10
"""So many runs have all of the points."""
SERVER_MS, SIZE_KB, READY_MS = 150.0, 300.0, 1_000.0
TIMES, OPENED = 7, 3


def table(rng: np.random.Generator, count: int) -> dict[str, Any]:
    """Return rows of as many features as are monitored; every tenth is a text."""
    return {
        f"feature_{at:03d}": rng.choice(np.array(["a", "b", "c"], dtype=object), count)
        if at % 10 == 0
        else rng.normal(at, 1.0, count)
        for at in range(FEATURES)
    }


def make_world(root: Path, share: float) -> tuple[Sample, list[str]]:
    """Make a project whose store has grown; return it with runs that have many points."""
    sample = Sample.make(root, "released")
    for number in range(int(CHANGES * share)):
        sample.write("data/raw.csv", rows(200, number))
        sample.add("data/raw.csv")
        sample.commit(f"Delivery {number}")
    project = sample.project
    apply_deployment(project, plan_deployment(project, "delay", "late/1"))
    add_versions(project, int(VERSIONS * share))
    add_traffic(project)
    with project.database.write() as connection:
        experiment = ensure_experiment(connection, "grown")
    database = root / ".penstock" / "penstock.db"
    fill("penstock", database, experiment, int(RUNS * share), METRICS)
    return sample, add_points(database, experiment, int(POINTS * share))


def add_versions(project: Project, count: int) -> None:
    """Add versions, each with metrics of its own and all with a reference of many features."""
    rng = np.random.default_rng(0)
    digest = project.artifacts.put(Profile.of(table(rng, 2_000)).to_bytes())
    with project.database.write() as connection:
        first = get_version(connection, "late", 1)
        for _ in range(count - 1):
            metrics = {"roc_auc": float(rng.random()), "accuracy": float(rng.random())}
            draft = msgspec.structs.replace(first, metrics=metrics, profile_digest=digest)
            add_version(connection, draft, reuse=False)
        connection.exec_driver_sql("UPDATE model_versions SET profile_digest = ?", (digest,))


def add_traffic(project: Project) -> None:
    """Add windows with sketches of every feature, labels and latencies, up to now."""
    rng = np.random.default_rng(1)
    templates = []
    for _ in range(6):
        latency = LatencyHistogram()
        latency.update(rng.lognormal(-4, 0.4, 300))
        truth = (rng.random(60) < 0.3).astype(float)
        scores = 1 / (1 + np.exp(-(rng.normal(size=60) + 1.5 * truth)))
        profile, quality = Profile.of(table(rng, 300)), Quality.of(scores, truth)
        templates.append({"latency": latency, "features": profile, "quality": quality})
    start_s = now_ms() // 60_000 * 60
    with project.database.write() as connection:
        number = get_revision(connection, "delay").number
        partials = [
            Partial(
                window=Window(
                    key=WindowKey("delay", start_s - 60 * (WINDOWS - at), number, 1, "stable"),
                    window_s=60,
                    request_count=300,
                    row_count=300,
                    **templates[at % len(templates)],
                ),
                worker=1,
                sequence=at + 1,
            )
            for at in range(WINDOWS)
        ]
        add_partials(connection, partials)


def add_points(database: Path, experiment: int, count: int) -> list[str]:
    """Add points of every metric to some runs, and return their ids."""
    pick = random.Random(2)
    steps = count // (CURVES * METRICS)
    with sqlite3.connect(database, timeout=60) as connection:
        query = "SELECT id FROM runs WHERE experiment_id = ? ORDER BY start_ms DESC LIMIT ?"
        runs = [row[0] for row in connection.execute(query, (experiment, CURVES))]
        for run in runs:
            points = (
                (run, f"m{key}", step, 1_760_000_000_000 + step, pick.random())
                for key in range(METRICS)
                for step in range(1, steps + 1)
            )
            connection.executemany("INSERT INTO run_metrics VALUES (?,?,?,?,?,0)", points)
        connection.commit()
    connection.close()
    return runs


def addresses(project: Project, runs: list[str]) -> list[str]:
    """Return the address of every page."""
    with project.database.read() as connection:
        made = get_version(connection, "late", 1).provenance.run_id
        newest = connection.exec_driver_sql("SELECT max(number) FROM model_versions").scalar_one()
    commits = [
        one for one in _git(project.root, "log", "--format=%h", "--", "data/raw.csv.dvc").split() if one
    ]
    return [
        "/", "/endpoints", "/endpoints/delay", "/endpoints/delay/drift", "/events",
        "/models", "/models/late", "/models/late/1", f"/models/late/{newest}", f"/models/late/{newest}/card", f"/models/late/{newest}/promote",
        "/runs", "/runs?order=metrics.m0+DESC", "/runs?filter=metrics.m1+%3E+0.9", "/experiments", "/experiments/2", "/runs?group=params.p0",
        f"/runs/{runs[0]}", f"/compare?runs={','.join(runs[:8])}", "/search?q=run-1",
        "/why/late/1", "/why/data/raw.csv", f"/why/{made}", "/why/delay",
        "/data", "/data/data/raw.csv", f"/data/data/raw.csv?old={commits[1]}&new={commits[0]}", "/pipeline",
    ]  # fmt: skip


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    ).stdout


@contextmanager
def serve(root: Path) -> Iterator[int]:
    """Run `penstock server` on a project, and give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [
        str(Path(sys.executable).with_name("penstock")),
        "-q",
        "-C",
        str(root),
        "server",
        "--port",
        str(port),
    ]
    with (root.parent / "log").open("wb") as log:
        process = subprocess.Popen(program, stdout=log, stderr=log, start_new_session=True)
        try:
            begun = time.monotonic()
            while time.monotonic() - begun < 60:
                try:
                    ask(port, "/health")
                    break
                except OSError:
                    time.sleep(0.05)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def ask(port: int, address: str) -> tuple[int, bytes, float]:
    """Return status, body and milliseconds until its last byte."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    begun = time.perf_counter()
    connection.request("GET", address, headers={"Accept": "text/html"})
    answer = connection.getresponse()
    body = answer.read()
    took = 1000 * (time.perf_counter() - begun)
    connection.close()
    return answer.status, body, took


def opened_ms(browser: Browser, url: str, ready: str | None = None) -> float:
    """Return the milliseconds until a fresh browser context has loaded a page, or shows what `ready` selects."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(url, wait_until="load")
    if ready is None:
        took = float(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    else:
        page.locator(ready).first.wait_for(timeout=120_000)
        took = 1000 * (time.perf_counter() - begun)
    context.close()
    return took


def measure(port: int, browser: Browser, pages: list[str]) -> list[dict[str, Any]]:
    """Return what each page took."""
    found = []
    for address in pages:
        status, body, first = ask(port, address)
        took = [ask(port, address)[2] for _ in range(TIMES)]
        ready = [opened_ms(browser, f"http://127.0.0.1:{port}{address}") for _ in range(OPENED)]
        one = {
            "page": shown(address),
            "status": status,
            "first_ms": round(first, 1),
            "server_ms": round(statistics.median(took), 1),
            "size_kb": round(len(body) / 1000, 1),
            "gzip_kb": round(len(gzip.compress(body)) / 1000, 1),
            "ready_ms": round(statistics.median(ready), 1),
        }
        one["holds"] = (
            status == 200
            and one["server_ms"] <= SERVER_MS
            and one["size_kb"] <= SIZE_KB
            and one["ready_ms"] <= READY_MS
        )
        found.append(one)
        print(
            f"{'   ' if one['holds'] else '!! '}{one['page']:48.48} {one['server_ms']:8.1f} ms {one['size_kb']:8.1f} kB "
            f"{one['ready_ms']:8.1f} ms ready (first {one['first_ms']:.0f} ms, status {status})",
            flush=True,
        )
    return found


def shown(address: str) -> str:
    """Return an address without ids, which are others in every run."""
    path, mark, query = address.partition("?")
    parts = ["ID" if len(one) == 32 and one.isalnum() else one for one in path.split("/")]
    return "/".join(parts) + (
        mark + query if not query.startswith(("runs=", "old=")) else f"?{query.split('=')[0]}=…"
    )


def search(port: int, body: bytes) -> tuple[bytes, float]:
    """Ask MLflow's server for what its table shows; its workers may end a connection while they start."""
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        begun = time.perf_counter()
        try:
            connection.request(
                "POST", "/ajax-api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"}
            )
            return connection.getresponse().read(), 1000 * (time.perf_counter() - begun)
        except (http.client.HTTPException, OSError):
            time.sleep(1.0)
        finally:
            connection.close()
    raise RuntimeError("MLflow's server did not answer a search")


def measure_mlflow(browser: Browser, work: Path, share: float) -> dict[str, Any]:
    """Return how long MLflow's table of the same runs takes until a run is shown."""
    with run_server("mlflow", work) as server:
        port = int(server.url.rpartition(":")[2])
        fill("mlflow", server.database, 0, int(RUNS * share), METRICS)
        body = json.dumps({"experiment_ids": ["0"], "max_results": 100}).encode()
        took = []
        for _ in range(TIMES):
            answer, ms = search(port, body)
            took.append(ms)
        url = f"{server.url}/#/experiments/0/runs"
        ready = [opened_ms(browser, url, "text=/^run-17/") for _ in range(OPENED)]
    return {
        "page": "#/experiments/0/runs",
        "search_ms": round(statistics.median(took), 1),
        "search_kb": round(len(answer) / 1000, 1),
        "ready_ms": round(statistics.median(ready), 1),
    }


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a twentieth of everything; nothing is written")
    parser.add_argument("--without-mlflow", action="store_true")
    options = parser.parse_args()
    share = 0.05 if options.quick else 1.0
    work = Path(tempfile.mkdtemp(prefix="bench-pages-"))
    sharing.begin()
    try:
        sample, runs = make_world(work / "project", share)
        pages = addresses(sample.project, runs)
        sample.close()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium-headless-shell") or shutil.which("chromium"),
                args=["--no-sandbox", "--hide-scrollbars"],
            )
            with serve(work / "project") as port:
                found = measure(port, browser, pages)
            peer = None if options.without_mlflow else measure_mlflow(browser, work / "mlflow", share)
            browser.close()
    finally:
        sharing.end()
        shutil.rmtree(work, ignore_errors=True)
    if peer is not None:
        print(f"   MLflow's run table: {peer}")
    document = {
        "runs": RUNS, "metrics_a_run": METRICS, "points": POINTS, "features": FEATURES, "versions": VERSIONS,
        "limits": {"server_ms": SERVER_MS, "size_kb": SIZE_KB, "ready_ms": READY_MS},
        "load_average": [round(one, 1) for one in os.getloadavg()],
        "pages": found, "mlflow": peer,
    }  # fmt: skip
    if not options.quick:
        RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if all(one["holds"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
