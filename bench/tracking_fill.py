"""Many runs written straight into a store's database, the same for both servers."""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

START_MS = 1_760_000_000_000
BATCH = 20_000


def fill(name: str, database: Path, experiment: int, count: int, width: int = 20) -> None:
    """Add `count` finished runs with `width` metrics and parameters each to an experiment that exists."""
    pick = random.Random(experiment)
    with sqlite3.connect(database, timeout=60) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for start in range(0, count, BATCH):
            runs = [
                (uuid.UUID(int=pick.getrandbits(128)).hex, START_MS + number)
                for number in range(start, min(count, start + BATCH))
            ]
            for sql, rows in (
                _mlflow(runs, experiment, width, pick)
                if name == "mlflow"
                else _penstock(runs, experiment, width, pick)
            ):
                connection.executemany(sql, rows)
            connection.commit()
    connection.close()


def _penstock(
    runs: list[tuple[str, int]], experiment: int, width: int, pick: random.Random
) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    yield (
        "INSERT INTO runs (id, experiment_id, name, status, start_ms, end_ms, user) VALUES (?,?,?,'FINISHED',?,?,'u')",
        [(run, experiment, f"run-{at}", at, at + 1) for run, at in runs],
    )
    points = [(run, f"m{place}", 0, at, pick.random()) for run, at in runs for place in range(width)]
    yield "INSERT INTO run_metrics VALUES (?,?,?,?,?,0)", list(points)
    yield (
        "INSERT INTO run_latest_metrics (run_id, key, step, time_ms, value, is_nan, experiment_id) "
        f"VALUES (?,?,?,?,?,0,{experiment})",
        list(points),
    )
    yield (
        "INSERT INTO run_params VALUES (?,?,?)",
        [(run, f"p{place}", str(pick.randrange(100))) for run, _ in runs for place in range(width)],
    )
    yield "INSERT INTO run_tags VALUES (?,'mlflow.runName',?)", [(run, f"run-{at}") for run, at in runs]


def _mlflow(
    runs: list[tuple[str, int]], experiment: int, width: int, pick: random.Random
) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    yield (
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, "
        "end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) "
        "VALUES (?,?,'LOCAL','','','u','FINISHED',?,?,'','active',?,?)",
        [
            (run, f"run-{at}", at, at + 1, f"mlflow-artifacts:/{experiment}/{run}/artifacts", experiment)
            for run, at in runs
        ],
    )
    points = [(f"m{place}", pick.random(), at, run) for run, at in runs for place in range(width)]
    yield (
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?,?,?,?,0,0)",
        list(points),
    )
    yield (
        "INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?,?,?,?,0,0)",
        list(points),
    )
    yield (
        "INSERT INTO params (key, value, run_uuid) VALUES (?,?,?)",
        [(f"p{place}", str(pick.randrange(100)), run) for run, _ in runs for place in range(width)],
    )
    yield (
        "INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName',?,?)",
        [(f"run-{at}", run) for run, at in runs],
    )
