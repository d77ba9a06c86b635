"""Drift, batch jobs, reports and watched calls, beside Evidently and NannyML: `make bench-monitoring`.

Every measurement is a process of its own, held to one core but for batch jobs, which may use two. Imports and starting
are not counted, of nobody. Wall time depends on what else runs: so the processor's time stands beside it, and where the
machine is busy (`load_average`) the ratios to trust are those of `cpu_s`. Limits are stated beside what was found. What
was measured is written after each part, so that a run that is cut short leaves what it has.

A batch job is held to a plain loop that reads the same table, asks the library's own model and writes its answers
(`ratio`). Both have the same two cores, the model one thread, and polars reads beside it in both; loop and job run in
turns, and of each the quickest counts. `ratio_of_cpu` is that of the processor's time of both, which is what is left on
one core, and does not depend on what else runs. `of_model_alone` is the job's throughput over that of the model's calls in that
loop alone, with its input in memory: of a model that takes less than reading the table takes, nobody's job reaches it.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-monitoring" / "bin" / "python"
ROWS = (250_000, 1_000_000, 2_500_000)
MEASURED = 1_000_000
ROUNDS = 2
PEER_S = 200
"""A peer that takes longer is ended, and what it took by then is told."""
LIMITS = {
    "evidently_ratio": 40.0,
    "nannyml_ratio": 4.0,
    "memory_growth": 1.25,
    "score_ratio": 0.8,
    "report_s": 2.0,
}


def run(*argv: object, cores: str = "0") -> dict[str, Any]:
    """Run a measurement, and return what it told."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if "," not in cores:
        env["POLARS_MAX_THREADS"] = "1"
    done = subprocess.run(
        ["taskset", "-c", cores, *map(str, argv)],
        check=True, capture_output=True, text=True, env=env, timeout=PEER_S,
        cwd=next((one for one in argv if isinstance(one, Path) and one.is_dir()), None),
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else {}
    print(*[Path(str(one)).name for one in argv[1:4]], found, flush=True)
    return found


def ours(*argv: object, cores: str = "0") -> dict[str, Any]:
    """Run a measurement of ours."""
    return run(sys.executable, HERE / "monitoring" / "ours.py", *argv, cores=cores)


def write_table(path: Path, rows: int, seed: int, shift: float) -> None:
    """Write 20 columns: 14 of continuous numbers, 3 of whole numbers, 3 of texts; every fifth drifts by `shift`."""
    rng = np.random.default_rng(seed)
    texts = np.array([f"v{index}" for index in range(12)])
    columns: dict[str, Any] = {}
    for index in range(14):
        moved = shift if index % 5 == 0 else 0.0
        columns[f"n{index}"] = rng.normal(moved, 1, rows) if index % 2 else rng.gamma(2 + moved, 1, rows)
    columns |= {f"i{index}": rng.integers(0, 50, rows) for index in range(3)}
    columns |= {f"c{index}": texts[rng.integers(0, 12, rows)] for index in range(3)}
    pl.DataFrame(columns).write_parquet(path)


def measure_drift(folder: Path) -> dict[str, Any]:
    """Measure ours on tables of each size, and the peers on a million rows."""
    sizes: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for rows in ROWS:
        before, now = folder / f"before{rows}.parquet", folder / f"now{rows}.parquet"
        write_table(before, rows, 1, 0.0)
        write_table(now, rows, 2, 0.3)
        sizes[str(rows)] = ours("drift", before, now)
        if rows == MEASURED:
            for name in ("evidently", "nannyml"):
                spent = resource.getrusage(resource.RUSAGE_CHILDREN)
                try:
                    found[name] = run(PEERS, HERE / "monitoring" / "peers.py", name, before, now)
                except subprocess.TimeoutExpired:  # what it took by then: its ratios are at least these
                    whole = resource.getrusage(resource.RUSAGE_CHILDREN)
                    found[name] = {
                        "wall_s": PEER_S,
                        "cpu_s": round(whole.ru_utime + whole.ru_stime - spent.ru_utime - spent.ru_stime, 2),
                        "is_cut_short": True,
                    }
        before.unlink()
        now.unlink()
    mine = found["penstock"] = sizes[str(MEASURED)]
    for name in ("evidently", "nannyml"):
        found[f"{name}_ratio"] = {
            key: round(found[name][key] / mine[key], 1)
            for key in ("wall_s", "cpu_s", "peak_mb")
            if key in found[name]
        }
        print(f"{name} over penstock", found[f"{name}_ratio"], flush=True)
    found["by_rows"] = sizes
    found["memory_growth"] = round(sizes[str(ROWS[-1])]["peak_mb"] / mine["peak_mb"], 2)
    return found


def measure_scoring(folder: Path) -> dict[str, Any]:
    """Measure jobs of a million rows with three models, and one of another size for its memory."""
    penstock = [sys.executable, "-m", "penstock.cli"]
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    subprocess.run([*penstock, "init"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    ours("models", folder, cores="0,1")
    tables = {}
    for rows in (MEASURED, 3 * MEASURED):
        rng = np.random.default_rng(rows)
        tables[rows] = folder / f"in{rows}.parquet"
        pl.DataFrame({f"f{index}": rng.normal(size=rows) for index in range(20)}).write_parquet(tables[rows])
    pl.read_parquet(tables[MEASURED], n_rows=1_000).write_parquet(folder / "small.parquet")
    found: dict[str, Any] = {}
    for name in ("logistic", "forest", "lightgbm"):
        subprocess.run(
            [*penstock, "deploy", name, "--model", f"{name}/1"], cwd=folder, check=True, capture_output=True
        )
        bares, jobs = [], []
        for _ in range(ROUNDS):
            bares.append(ours("bare", folder, name, tables[MEASURED], cores="0,1"))
            jobs.append(ours("score", folder, name, tables[MEASURED], cores="0,1"))
        bare = min(bares, key=lambda one: float(one["wall_s"]))
        job = min(jobs, key=lambda one: float(one["job_s"]))
        model_s = min(one["model_s"] for one in bares)
        found[name] = {
            "bare_loop": bare,
            "job": job,
            "ratio": round(bare["wall_s"] / job["job_s"], 2),
            "of_model_alone": round(model_s / job["job_s"], 2),
            "ratio_of_cpu": round(bare["cpu_s"] / job["cpu_s"], 2),
        }
        print(name, {key: found[name][key] for key in ("ratio", "of_model_alone")}, flush=True)
    larger = ours("score", folder, "logistic", tables[3 * MEASURED], cores="0,1")
    found["memory_growth"] = round(larger["peak_mb"] / found["logistic"]["job"]["peak_mb"], 2)
    return found


def measure_watch() -> dict[str, Any]:
    """Measure what watching costs a call."""
    subprocess.run([sys.executable, HERE / "bench_watch.py"], check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads((HERE / "results" / "watch.json").read_text())
    return {**found["loop"]["numbers"], "holds": found["holds"]}


def holds(document: dict[str, Any]) -> dict[str, bool]:
    """Return which limits hold, of what was measured."""
    found: dict[str, bool] = {}
    drift, scoring = document.get("drift"), document.get("score_batch")
    if drift:
        for name in ("evidently", "nannyml"):
            ratio = drift[f"{name}_ratio"]
            found[name] = ratio.get("cpu_s", ratio["wall_s"]) >= LIMITS[f"{name}_ratio"]
        found["memory_of_drift"] = drift["memory_growth"] <= LIMITS["memory_growth"]
    if scoring:
        found["memory_of_score_batch"] = scoring["memory_growth"] <= LIMITS["memory_growth"]
        for name in ("logistic", "forest", "lightgbm"):
            found[f"score_batch_{name}"] = scoring[name]["ratio"] >= LIMITS["score_ratio"]
            found[f"score_batch_{name}_of_model"] = scoring[name]["of_model_alone"] >= LIMITS["score_ratio"]
    if "report_100_features" in document:
        found["report"] = document["report_100_features"]["cpu_s"] <= LIMITS["report_s"]
    if "watch" in document:
        found["watch"] = document["watch"]["holds"]
    return found


def main() -> None:
    """Measure, and write bench/results/monitoring.json."""
    document: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "limits": LIMITS,
    }
    load, began = os.getloadavg(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-monitoring-") as folder:
        project = Path(folder) / "project"
        project.mkdir()
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "drift": lambda: measure_drift(Path(folder)),
            "report_100_features": lambda: ours("report", Path(folder)),
            "score_batch": lambda: measure_scoring(project),
            "watch": measure_watch,
        }
        for name, measure in parts.items():
            document[name] = measure()
            document["load_average"] = {"before": load, "after": os.getloadavg()}
            document["took_s"] = round(time.monotonic() - began)
            document["holds"] = holds(document)
            (HERE / "results" / "monitoring.json").write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document["holds"], indent=2))


if __name__ == "__main__":
    main()
