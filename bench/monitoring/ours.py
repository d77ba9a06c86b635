"""What is measured of ours, each in a process of its own: drift of two tables, a job that scores, a report."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np


def peak_mb() -> int:
    """Return the most memory this process had; the kernel's count of resources has that of its parent too."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM")]
    return round(int(line.split()[1]) / 1024)


def told(began: tuple[float, float], **more: Any) -> None:
    """Print what was measured since `began`."""
    done = {
        "wall_s": round(time.perf_counter() - began[0], 2),
        "cpu_s": round(time.process_time() - began[1], 2),
        "peak_mb": peak_mb(),
    }
    print(json.dumps(done | more), flush=True)


def now() -> tuple[float, float]:
    """Return wall and processor time."""
    return time.perf_counter(), time.process_time()


def drift(reference: str, current: str) -> None:
    """Compare two tables that lie in files."""
    from penstock import compare_tables

    began = now()
    report = compare_tables(Path(reference), Path(current))
    told(began, drifted=len(report.changed))


def report(folder: str) -> None:
    """Compare two tables of 100 features and 20,000 rows, and write the report as a page."""
    from penstock import compare_tables

    rng = np.random.default_rng(4)
    before, now_ = (
        {f"f{index}": rng.normal(shift * (index % 9 == 0), 1, 20_000) for index in range(100)}
        for shift in (0.0, 0.4)
    )
    began = now()
    page = compare_tables(before, now_).to_html(Path(folder) / "report.html")
    told(began, page_bytes=page.stat().st_size)


def models(folder: str) -> None:
    """Train and register what is scored; keep each also as the library's own, for the bare loop."""
    import joblib
    import pandas as pd
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    import penstock

    rng = np.random.default_rng(0)
    inputs = pd.DataFrame(rng.normal(size=(20_000, 20)), columns=[f"f{index}" for index in range(20)])
    labels = (inputs.f0 + inputs.f1 * inputs.f2 + rng.normal(size=20_000) > 0).astype(int)
    for name, model in (
        ("logistic", LogisticRegression()),
        ("forest", RandomForestClassifier(50, max_depth=8, n_jobs=1)),
        ("lightgbm", LGBMClassifier(n_estimators=100, n_jobs=1, verbose=-1)),
    ):
        model.fit(inputs, labels)
        joblib.dump(model, Path(folder) / f"{name}.joblib")
        with penstock.start_run():
            penstock.log_model(model, "model", input_example=inputs.head(50), registered_model_name=name)


def bare(folder: str, name: str, table: str) -> None:
    """Read a table, ask the library's own model part by part, write its answers: what anybody's loop would be."""
    import joblib
    import pandas as pd
    import polars as pl

    model = joblib.load(Path(folder) / f"{name}.joblib")
    small = pl.read_parquet(Path(folder) / "small.parquet")
    model.predict_proba(pd.DataFrame({name: small[name].to_numpy() for name in small.columns}))
    answered, asking, rows = [], 0.0, 0
    began = now()
    for frame in pl.scan_parquet(table).collect_batches(chunk_size=50_000, maintain_order=True):
        values = pd.DataFrame({name: frame[name].to_numpy() for name in frame.columns})
        at = time.perf_counter()
        answered.append(model.predict_proba(values)[:, 1])
        asking += time.perf_counter() - at
        rows += len(values)
    pl.DataFrame({"probability": np.concatenate(answered)}).write_parquet(Path(folder) / "bare.parquet")
    told(began, rows=rows, model_s=round(asking, 2))


def score(folder: str, name: str, table: str) -> None:
    """Score the same with a job that is recorded for an endpoint."""
    from penstock.flows.production.scoring.scoring import Request, score_batch
    from penstock.workspace import open_workspace

    request = Request(f"{name}/1", table, "out.parquet", Path(folder), overwrite=True, restart=True)
    with contextlib.closing(open_workspace(Path(folder))) as project:
        # a first, small job brings the libraries in: imports are not counted
        score_batch(project, replace(request, source="small.parquet"))
        began = now()
        done = score_batch(project, request)
        told(began, rows=done.rows, job_s=done.seconds, model_s=done.model_seconds)


if __name__ == "__main__":
    {"drift": drift, "report": report, "models": models, "bare": bare, "score": score}[sys.argv[1]](
        *sys.argv[2:]
    )
