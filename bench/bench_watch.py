"""What `penstock.watch` costs a call, with its flush running: medians and 99th percentiles into results/watch.json.

A function that does nothing is called in a loop of its own, bare and watched, on 20 features: as a mapping of numbers,
one with texts, a NumPy row, a polars row, a pandas row. Each watched call is timed by itself; what the clock costs and
the bare call are taken off. The limits are for the mapping of numbers in the loop. `paced` waits a millisecond between
calls: caches are cold then, for the bare function too, the more so the busier the machine is; so its load is noted.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

HERE = Path(__file__).parent
FEATURES = 20
CALLS, PACED_CALLS = 20_000, 3_000
LIMIT_MEDIAN_US, LIMIT_P99_US = 20.0, 100.0


def inputs() -> dict[str, Any]:
    """Return 20 features of one row in each form."""
    numbers = {f"feature_{index}": index * 1.25 for index in range(FEATURES)}
    texts = {
        name: (f"value-{index % 7}" if index % 4 == 0 else value)
        for index, (name, value) in enumerate(numbers.items())
    }
    return {
        "numbers": numbers,
        "numbers and texts": texts,
        "numpy": np.arange(float(FEATURES)),
        "polars": pl.DataFrame([numbers]),
        "pandas": pd.DataFrame([numbers]),
    }


def measure(call: Callable[[Any], Any], value: Any, count: int, pause_s: float = 0.0) -> list[float]:
    """Return how long each call took, in microseconds."""
    clock, took = time.perf_counter_ns, []
    for _ in range(count):
        if pause_s:
            time.sleep(pause_s)
        began = clock()
        call(value)
        took.append((clock() - began) / 1000)
    return took


def summary(watched: list[float], bare: list[float]) -> dict[str, float]:
    """Return what watching adds, in microseconds."""
    base = float(np.median(bare))
    median, p99 = np.quantile(watched, [0.5, 0.99]) - base
    return {"median_us": round(float(median), 2), "p99_us": round(float(p99), 2), "bare_us": round(base, 2)}


def main() -> None:
    """Measure in a project of its own, and write the results."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-watch-") as folder:
        os.chdir(folder)
        sys.path.insert(0, str(HERE.parent / "tests"))
        from flows.production.endpoints import World

        world = World(Path(folder))
        world.version(1)
        world.deploy(1)
        world.project.close()
        import penstock
        from penstock.watching.engine import the_engine

        def bare(_features: Any) -> float:
            return 0.5

        watched = penstock.watch(endpoint="delay", model="m/1")(bare)
        found: dict[str, Any] = {}
        values = inputs()
        for value in values.values():
            measure(watched, value, 2_000)
        for name, value in values.items():
            found[name] = summary(measure(watched, value, CALLS), measure(bare, value, CALLS))
            print(name, found[name], flush=True)
            the_engine().drain(60)
        paced = summary(
            measure(watched, values["numbers"], PACED_CALLS, 0.001),
            measure(bare, values["numbers"], PACED_CALLS, 0.001),
        )
        print("paced", paced)
        the_engine().drain(60)
        dropped = sum(the_engine().counts.dropped.values())
    document = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "features": FEATURES,
        "limits": {"median_us": LIMIT_MEDIAN_US, "p99_us": LIMIT_P99_US},
        "loop": found,
        "paced": paced,
        "dropped": dropped,
        "load_average": os.getloadavg(),
        "holds": found["numbers"]["median_us"] <= LIMIT_MEDIAN_US
        and found["numbers"]["p99_us"] <= LIMIT_P99_US,
    }
    (HERE / "results" / "watch.json").write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
