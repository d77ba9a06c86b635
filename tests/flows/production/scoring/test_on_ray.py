"""Tables scored on a real Ray cluster are written as this machine writes them, also where an actor is killed."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import polars as pl
import psutil
import pytest

from flows.production.scoring.bench import Bench, bench, read
from penstock.flows.models.folders import RegistrySource
from penstock.flows.production.scoring.scoring import Request, score_batch
from servers.ray import ray_cluster
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]
pytestmark = pytest.mark.slow


def is_actor(process: psutil.Process) -> bool:
    """Whether a process that may end at any moment is one of the cluster that asks the model."""
    try:
        return "Asker" in "".join(process.cmdline()[:1])
    except psutil.Error:
        return False


def test_the_cluster_writes_the_same_bytes(bench: Bench) -> None:
    folder = RegistrySource(bench.sample.project).fetch("late", 1).path
    here = Request(str(folder), "in.csv", "here.parquet", bench.folder, part_rows=90, columns=("late",))
    done = score_batch(bench.sample.project, here)
    with ray_cluster(2) as address:
        there = replace(here, target="there.parquet", executor="ray", address=address)
        again = score_batch(bench.sample.project, there)
        assert (
            (again.rows, again.answered, again.parts)
            == (done.rows, done.answered, done.parts)
            == (1000, 1000, 12)
        )
        assert (bench.folder / "there.parquet").read_bytes() == (bench.folder / "here.parquet").read_bytes()

        killed: list[int] = []

        def kill(_rows: int, _share: float) -> None:
            actors = [one for one in psutil.Process().children(recursive=True) if is_actor(one)]
            if actors and not killed:
                killed.append(actors[0].pid)
                os.kill(actors[0].pid, signal.SIGKILL)

        recorded = replace(there, model="late/1", target="recorded.parquet")
        score_batch(bench.sample.project, recorded, kill)
        assert killed
    found = read(bench.folder / "recorded.parquet")
    assert found["prediction_id"].n_unique() == 1000 and bench.counted() == 1000
    assert found.drop("prediction_id").equals(pl.read_parquet(bench.folder / "here.parquet"))
