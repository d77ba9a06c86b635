"""Real `mlflow server` and `penstock server` side by side: the same load, seconds, memory, ratios.

    .venv/bin/python bench/bench_tracking.py [--repeat 3] [--quick] [--only WORD]

Both servers run as a user would start them, on SQLite, one after the other for each case in turn. A ratio is
that of the medians. Results go to `bench/results/tracking.json`; ends with 1 where a minimum is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tracking_fill import fill
from tracking_load import Client, many_clients, median_s, unmodified_client, upload
from tracking_servers import Server, run_server

NAMES = ("mlflow", "penstock")
POINTS = 25_000
GIGABYTE = 1 << 30
BLOCK = bytes(range(256)) * 4096
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass
class Case:
    """One row: measured values by server; `least` is how many times better Penstock's must be."""

    name: str
    least: float
    unit: str = "s"
    is_rate: bool = False
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in NAMES})

    @property
    def ratio(self) -> float:
        peer, ours = (statistics.median(self.values[name]) for name in NAMES)
        return ours / peer if self.is_rate else peer / ours


class Bench:
    """The cases and what was measured."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.cases: dict[str, Case] = {}
        self.notes: dict[str, object] = {}

    def add(self, server: str, case: Case, value: float) -> None:
        """Keep one measured value."""
        self.cases.setdefault(case.name, case).values[server].append(value)

    def wants(self, name: str) -> bool:
        """Say whether a case was asked for."""
        return self.options.only in name

    def measure(self, server: Server) -> None:
        """Run every case once against a fresh server."""
        self.add(server.name, Case("start to the first healthy answer", 20), server.start_s)
        time.sleep(3)
        self.add(server.name, Case("memory of all processes, idle", 10, "MB"), server.memory_mb())
        for case in (raw, searches, clients, crowd):
            if self.wants(case.__name__):
                case(self, server)
        if self.wants("transfers"):
            transfers(self, server, "disk")
        self.add(server.name, Case("memory of all processes, after the load", 10, "MB"), server.memory_mb())

    def timed(self, server: Server, case: Case, work: Callable[[int], object], count: int) -> None:
        """Measure one call's median."""
        self.add(server.name, case, median_s(work, max(3, count // 5) if self.options.quick else count))


def raw(bench: Bench, server: Server) -> None:
    """Single calls over one connection."""
    client = Client(server.url)
    run = client.new_run()
    bench.timed(
        server,
        Case("raw: log-metric", 5),
        lambda n: client.post(
            "runs/log-metric", {"run_id": run, "key": "a", "value": n + 0.5, "timestamp": n + 1, "step": n}
        ),
        200,
    )

    def batch(number: int, key: str = "") -> None:
        points = [
            {
                "key": key or f"m{place % 10}",
                "value": place + 0.5,
                "timestamp": place,
                "step": number * 1000 + place,
            }
            for place in range(1000)
        ]
        client.post("runs/log-batch", {"run_id": run, "metrics": points})

    bench.timed(server, Case("raw: log-batch of 1,000 metrics", 12), batch, 20)
    path = f"runs/get?run_id={run}&run_uuid={run}"
    bench.timed(server, Case("raw: runs/get", 5), lambda _: client.call("GET", path), 200)
    for number in range(POINTS // 1000):
        batch(number, "long")
    path = f"metrics/get-history?run_id={run}&metric_key=long&max_results={POINTS}"
    bench.timed(server, Case("raw: history of 25,000 points", 8), lambda _: client.call("GET", path), 7)


def searches(bench: Bench, server: Server) -> None:
    """A page of 200 out of 10,000 runs."""
    client = Client(server.url)
    experiment = client.post("experiments/create", {"name": "wide"})["experiment_id"]
    fill(server.name, server.database, int(experiment), 1000 if bench.options.quick else 10_000)
    body = {
        "experiment_ids": [experiment],
        "filter": "metrics.m3 > 0.5 and params.p1 != '7'",
        "order_by": ["metrics.m5 DESC"],
        "max_results": 200,
    }
    bench.timed(
        server,
        Case("raw: search of 200 out of 10,000 runs", 20),
        lambda _: client.call("POST", "runs/search", body),
        10,
    )


def clients(bench: Bench, server: Server) -> None:
    """The unmodified client."""
    for name, seconds in unmodified_client(server.url).items():
        bench.add(server.name, Case(name, 4), seconds)


def crowd(bench: Bench, server: Server) -> None:
    """32 clients at once."""
    rate, lost = many_clients(server.url, 3 if bench.options.quick else 8)
    bench.add(server.name, Case("32 clients at once, metrics a second", 8, "/s", is_rate=True), rate)
    bench.notes[f"lost by {server.name}"] = lost


def transfers(bench: Bench, server: Server, where: str) -> None:
    """One large artifact up and down, three times, by a client that costs next to nothing.

    In memory the servers are measured; on a disk that writes half a gigabyte a second both wait for it, which is
    noted beside.
    """
    size = GIGABYTE // 10 if bench.options.quick else GIGABYTE
    run = Client(server.url).new_run()
    path = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/large"
    with tempfile.TemporaryFile(dir=MEMORY) as source:
        for _ in range(size // len(BLOCK)):
            source.write(BLOCK)
        source.flush()
        upload(server.url, f"{path}-0.bin", source, 1 << 20)
        ups, downs = [], []
        for _ in range(3):
            begun = time.perf_counter()
            upload(server.url, f"{path}-1.bin", source, size)
            ups.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            with urllib.request.urlopen(f"{server.url}{path}-1.bin", timeout=600) as answer:
                while answer.read(1 << 20):
                    pass
            downs.append(time.perf_counter() - begun)
    if where == "memory":
        bench.add(server.name, Case("artifact of 1 GB: upload", 2), statistics.median(ups))
        bench.add(server.name, Case("artifact of 1 GB: download", 1), statistics.median(downs))
        bench.notes[f"peak memory of {server.name}'s largest process, MB"] = round(server.peak_mb())
    else:
        found = {"upload": round(statistics.median(ups), 2), "download": round(statistics.median(downs), 2)}
        bench.notes[f"artifact of 1 GB on this disk by {server.name}, s"] = found


def curve(bench: Bench, work: Path) -> None:
    """Search by metric with order, first page, as the number of runs grows."""
    found = {}
    with run_server("penstock", work / "curve") as server:
        client = Client(server.url)
        for size in (10_000, 100_000) if bench.options.quick else (10_000, 100_000, 1_000_000):
            experiment = client.post("experiments/create", {"name": f"runs-{size}"})["experiment_id"]
            fill("penstock", server.database, int(experiment), size, width=1)
            body = {
                "experiment_ids": [experiment],
                "filter": "metrics.m0 > 0.2",
                "order_by": ["metrics.m0 DESC"],
                "max_results": 100,
            }
            found[size] = median_s(lambda _, body=body: client.call("POST", "runs/search", body), 10) * 1000  # type: ignore[misc]
            print(f"search by metric among {size:>9,} runs: {found[size]:6.1f} ms", flush=True)
    bench.notes["search by metric, first page of 100, ms by number of runs"] = found


def main() -> int:
    """Measure, print the table, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the load, once")
    parser.add_argument("--only", default="", help="raw, searches, clients, crowd, transfers or curve")
    options = parser.parse_args()
    bench = Bench(options)
    with tempfile.TemporaryDirectory(prefix="bench-tracking-") as folder, ExitStack():
        for number in range(1 if options.quick else options.repeat):
            for name in NAMES:
                with run_server(name, Path(folder) / f"{name}-{number}") as server:
                    bench.measure(server)
                if bench.wants("transfers"):
                    with (
                        tempfile.TemporaryDirectory(prefix="bench-tracking-", dir=MEMORY) as memory,
                        run_server(name, Path(memory) / name) as server,
                    ):
                        transfers(bench, server, "memory")
        if bench.wants("curve"):
            curve(bench, Path(folder))
    print(f"{'case':<46}{'mlflow':>12}{'penstock':>12}{'ratio':>9}{'at least':>9}")
    for case in bench.cases.values():
        peer, ours = (statistics.median(case.values[name]) for name in NAMES)
        mark = "" if case.ratio >= case.least else "  missed"
        print(
            f"{case.name:<46}{peer:>9.4g} {case.unit:<2}{ours:>9.4g} {case.unit:<2}{case.ratio:>8.1f}x"
            f"{case.least:>8.0f}x{mark}"
        )
    print(json.dumps(bench.notes, indent=2))
    results = {
        "cases": {
            case.name: {"unit": case.unit, "least": case.least, "ratio": case.ratio, **case.values}
            for case in bench.cases.values()
        },
        "notes": bench.notes,
    }
    if not options.quick and not options.only:
        target = Path(__file__).parent / "results" / "tracking.json"
        target.write_text(json.dumps(results, indent=2) + "\n")
    return int(any(case.ratio < case.least for case in bench.cases.values()))


if __name__ == "__main__":
    sys.exit(main())
