"""What the controller's looks cost and what the store holds: 20 endpoints, 8 serve processes, 30 days of windows.

The store is made up, as serving and housekeeping leave one: minutes for two days, hours before, and in the last
two a row a process, of which that of the open one is written anew every second. `make bench-control` writes
bench/results/control.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from flows.production.endpoints import World  # noqa: E402
from penstock.base.clock import now_ms  # noqa: E402
from penstock.flows.production.controlling.responding import Controller  # noqa: E402
from penstock.monitoring.compaction import find_bundles, merge_bundle  # noqa: E402
from penstock.monitoring.latency import LatencyHistogram  # noqa: E402
from penstock.monitoring.profile import Profile  # noqa: E402
from penstock.monitoring.quality.measures import Quality  # noqa: E402
from penstock.monitoring.windows import (  # noqa: E402
    Partial,
    Window,
    WindowKey,
    add_partials,
    put_partial,
    windows,
)

RESULTS = Path(__file__).parent / "results" / "control.json"
ENDPOINTS, WORKERS, DAYS = 20, 8, 30
CANARIES = 4
LOOK_LIMIT_MS, STORE_LIMIT_MB = 50.0, 50.0
DAY_S, HOUR_S = 86_400, 3_600
EVERY_S = 0.5
POLICY = """\
model: m@champion
rollout: {steps: [20, 50, 100], min_requests: 1000000, hold_s: 0, deadline_s: 1000000}
guardrails:
  - errors: {max_ratio: 0.02}
  - latency: {p99_ms: 500}
  - quality: {metric: roc_auc, max_drop: 0.1, min_labels: 200}
  - drift: {features: any, psi_max: 0.25, action: alert}
on_breach: [rollback, alert]
"""
NUMBERS, TEXTS = 6, 2


def table(rng: np.random.Generator, count: int) -> dict[str, Any]:
    """Return rows of a model's inputs."""
    found: dict[str, Any] = {
        f"number{index}": rng.normal(index, 1 + index, count) for index in range(NUMBERS)
    }
    for index in range(TEXTS):
        found[f"text{index}"] = rng.choice([f"value {one}" for one in range(20)], count).astype(object)
    return found


def parts(rng: np.random.Generator, rows: int, labels: int) -> dict[str, Any]:
    """Return what a window of so many requests of one row knows."""
    latency = LatencyHistogram()
    latency.update(rng.lognormal(-4, 0.4, rows))
    truth = (rng.random(labels) < 0.3).astype(float)
    scores = 1 / (1 + np.exp(-(rng.normal(size=labels) + 1.5 * truth)))
    return {
        "request_count": rows,
        "error_count": rows // 1000,
        "error_run_count": rows // 1000,
        "row_count": rows,
        "latency": latency,
        "features": Profile.of(table(rng, rows)),
        "outputs": Profile.of({"probability": rng.random(rows)}),
        "quality": Quality.of(scores, truth) if labels else Quality(),
    }


class Traffic:
    """Windows of every endpoint, in the store of a world."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        self.now_s = now_ms() // 1000
        self._open = [parts(rng, 60, 0) for _ in range(20)]

    def fill(self) -> None:
        """Write a month of windows, merged as housekeeping does: of each endpoint one row a minute or an hour."""
        minutes, hours = ([parts(self.rng, count, count // 5) for _ in range(5)] for count in (600, 6_000))
        begun_s = self.now_s // 60 * 60
        spans = [(begun_s - 60 * index, 60) for index in range(3, 2 * DAY_S // 60)]
        spans += [(begun_s - 2 * DAY_S - HOUR_S * index, HOUR_S) for index in range(1, (DAYS - 2) * 24)]
        columns = [column.name for column in windows.columns]
        kept = [name for name in columns if name not in {"endpoint", "start_s"}]
        copy = (
            f"INSERT INTO windows (endpoint, start_s, {', '.join(kept)}) SELECT ?, ?, {', '.join(kept)} "
            "FROM windows WHERE endpoint = 'template' AND start_s = ?"
        )
        with self.world.project.database.write() as connection:
            templates = {}
            for index, (span_s, one) in enumerate(
                [(60, one) for one in minutes] + [(HOUR_S, one) for one in hours]
            ):
                window = Window(key=WindowKey("template", index, 1, 1, "stable"), window_s=span_s, **one)
                add_partials(connection, [Partial(window=window, worker=0, sequence=1)])
                templates.setdefault(span_s, []).append(index)
            for number in range(ENDPOINTS):
                rows = [
                    (f"e{number}", start_s, templates[span_s][index % len(templates[span_s])])
                    for index, (start_s, span_s) in enumerate(spans)
                ]
                connection.exec_driver_sql(copy, rows)
            connection.execute(windows.delete().where(windows.c.endpoint == "template"))

    def begin(self) -> None:
        """Write what the processes wrote of the last three windows, a row each and route."""
        start_s = now_ms() // 1000 // 60 * 60
        with self.world.project.database.write() as connection:
            for key in self._keys(start_s):
                for worker in range(1, WORKERS + 1):
                    some = self._open[int(self.rng.integers(len(self._open)))]
                    for ago in (0, 60, 120):
                        moved = msgspec.structs.replace(key, start_s=start_s - ago)
                        window = Window(key=moved, window_s=60, **some)
                        put_partial(connection, Partial(window=window, worker=worker, sequence=1))

    def go_on(self) -> None:
        """Let every row of the open window be another, as the processes do each second."""
        start_s = now_ms() // 1000 // 60 * 60
        turn = (
            "UPDATE windows SET request_count = other.request_count + 1, row_count = other.row_count + 1, "
            "latency = other.latency, features = other.features, outputs = other.outputs FROM windows AS other "
            "WHERE windows.start_s = ? AND other.start_s = ? AND other.endpoint = windows.endpoint AND "
            "other.route = windows.route AND other.revision = windows.revision AND other.worker = windows.worker % 8 + 1"
        )
        with self.world.project.database.write() as connection:
            connection.exec_driver_sql(turn, (start_s, start_s - 60))

    def _keys(self, start_s: int) -> Iterator[WindowKey]:
        for number in range(ENDPOINTS):
            revision = 2 if number < CANARIES else 1
            yield WindowKey(f"e{number}", start_s, revision, 1, "stable")
            if number < CANARIES:
                yield WindowKey(f"e{number}", start_s, revision, 2, "canary")


def known_work_s() -> float:
    """Return what the same little work takes now: what shares the core and its caches makes it, and looks, slower."""
    begun = time.process_time()
    sum(index * index for index in range(20_000))
    return time.process_time() - begun


def measure_looks(world: World, traffic: Traffic, looks: int) -> dict[str, Any]:
    """Return what looks cost while traffic goes on; two looks a second, as the controller makes them."""
    costs: list[float] = []
    slowness: list[float] = []
    traffic.begin()
    world.controller.tick()
    next_s = time.monotonic()
    for number in range(looks):
        if number % 2 == 0:
            traffic.go_on()
        next_s += EVERY_S
        time.sleep(max(0.0, next_s - time.monotonic()))
        begun = time.process_time()
        world.controller.tick()
        costs.append(1000 * (time.process_time() - begun))
        slowness.append(known_work_s())
    assert not world.controller.problems, dict(world.controller.problems)
    return {
        "looks": looks,
        "look_mean_ms": round(statistics.mean(costs), 1),
        "look_median_ms": round(statistics.median(costs), 1),
        "look_min_ms": round(min(costs), 1),
        "look_max_ms": round(max(costs), 1),
        "slowed_by_others": round(statistics.mean(slowness) / min(slowness), 2),
    }


def measure_store(folder: Path, predictions: int) -> dict[str, Any]:
    """Return by how much a store grows for so many predictions of one endpoint, once its windows are merged."""
    world = World(folder)
    rng = np.random.default_rng(5)
    some = [parts(rng, 1_250, 250) for _ in range(8)]
    count = predictions // (WORKERS * 1_250)
    now_s = now_ms() // 1000
    begun_s = (now_s - 2 * DAY_S) // 60 * 60 - 60 * count
    size = _size(world)
    with world.project.database.write() as connection:
        for minute in range(count):
            key = WindowKey("e", begun_s + 60 * minute, 1, 1, "stable")
            rows = [Partial(window=Window(key=key, window_s=60, **some[worker - 1]), worker=worker, sequence=1) for worker in range(1, WORKERS + 1)]  # fmt: skip
            add_partials(connection, rows)
    written = _size(world)
    begun = time.process_time()
    while True:
        with world.project.database.read() as connection:
            bundles = find_bundles(connection, now_s)
        if not bundles:
            break
        for bundle in bundles:
            with world.project.database.write() as connection:
                merge_bundle(connection, bundle)
    cost_s = time.process_time() - begun
    merged = _size(world)
    with world.project.database.read() as connection:
        rows_left = connection.scalar(sa.select(sa.func.count()).select_from(windows))
        kept = connection.scalar(sa.select(sa.func.sum(windows.c.request_count)))
    world.project.close()
    return {
        "predictions": kept,
        "windows_written_mb": round((written - size) / 1e6, 1),
        "windows_merged_mb": round((merged - size) / 1e6, 1),
        "windows_left": rows_left,
        "merging_cpu_s": round(cost_s, 1),
    }


def _size(world: World) -> int:
    """Return the bytes of the pages in use."""
    with world.project.database.read() as connection:
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size


def main() -> None:
    """Measure and write the result; exit 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--looks", type=int, default=120)
    parser.add_argument("--predictions", type=int, default=10_000_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    rng = np.random.default_rng(11)
    with tempfile.TemporaryDirectory(prefix="penstock-control-") as folder:
        world = World(Path(folder) / "looks")
        reference = Profile.of(table(rng, 100_000))
        for number in (1, 2):
            world.version(number, profile=reference, roc_auc=0.85)
        for number in range(ENDPOINTS):
            world.policy(POLICY, f"e{number}")
            world.deploy(1, endpoint=f"e{number}")
            if number < CANARIES:
                world.deploy(1, canary=2, percent=20, endpoint=f"e{number}")
        world.controller = Controller(world.project)
        traffic = Traffic(world, rng)
        traffic.fill()
        size_mb = _size(world) / 1e6
        looks = measure_looks(world, traffic, options.looks)
        world.project.close()
        store = measure_store(Path(folder) / "store", options.predictions)
    found = {
        "endpoints": ENDPOINTS,
        "workers": WORKERS,
        "days": DAYS,
        "canaries": CANARIES,
        "features": NUMBERS + TEXTS,
        "look_limit_ms": LOOK_LIMIT_MS,
        "store_limit_mb": STORE_LIMIT_MB,
        "load_average": [round(one, 1) for one in os.getloadavg()],
        **looks,
        "store_of_looks_mb": round(size_mb),
        "store": store,
    }
    options.results.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    sys.exit(looks["look_mean_ms"] > LOOK_LIMIT_MS or store["windows_merged_mb"] > STORE_LIMIT_MB)


if __name__ == "__main__":
    main()
