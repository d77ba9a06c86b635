"""A batch job that ends at any moment: the same command goes on, and no row is lost or counted twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.production.scoring.bench import Bench, bench, read
from penstock.base.errors import Conflict
from penstock.flows.production.live.ingesting import Ingest
from penstock.flows.production.scoring import making, scoring, writing
from penstock.flows.production.scoring.job import Parts
from penstock.storage.local import LocalBackend
from projects import rows
from serving.fixtures import released_root
from watching.seen import wait_until

__all__ = ["bench", "released_root"]


class Killed(BaseException):
    """Stands for the end of the process at one moment."""


class Dying:
    """Ends the process before or after its n-th step that leaves something behind."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.steps, self.fatal = 0, -1
        for owner, name in (
            (LocalBackend, "put"), (LocalBackend, "copy"), (LocalBackend, "upload"), (LocalBackend, "delete"),
            (LocalBackend, "delete_tree"), (Ingest, "take_windows"), (writing, "_link"),
        ):  # fmt: skip
            patch.setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._count()
            found = step(*args, **kwargs)
            self._count()
            return found

        return call

    def _count(self) -> None:
        self.steps += 1
        if self.steps == self.fatal:
            raise Killed

    def next(self) -> None:
        """Die one step later in the next job."""
        self.steps, self.fatal = 0, max(1, self.fatal + 1)


def once(find: Callable[..., Any]) -> Callable[..., Any]:
    """Return what answers what `find` answered when it was first called."""
    found: list[Any] = []

    def call(*args: Any) -> Any:
        if not found:
            found.append(find(*args))
        return found[0]

    return call


@pytest.mark.slow
def test_a_job_that_ends_before_or_after_any_of_its_steps_is_finished_by_the_same_command(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.folder / "in.csv").write_text(rows(100, seed=5))
    expected = bench.expected
    for name in ("find_model", "load_model"):  # they leave nothing behind, so once is enough for all jobs
        monkeypatch.setattr(scoring, name, once(getattr(scoring, name)))
    dying = Dying(monkeypatch)
    for target, first in (("out.parquet", -1), ("parts", 14)):
        dying.fatal, was_killed, jobs = first, True, 0
        while was_killed:
            dying.next()
            before = bench.counted()
            path = bench.folder / f"{jobs}-{target}"
            try:
                bench("in.csv", path.name, part_rows=50)
                was_killed = False
            except Killed:
                dying.steps = -(10**9)
                is_done = path.exists() and not (bench.folder / f"{path.name}.parts/job.json").exists()
                try:
                    bench("in.csv", path.name, part_rows=50)
                except Conflict:  # only what lay beside it was left
                    assert is_done
            jobs += 1
            found = read(path)
            np.testing.assert_allclose(found["probability"].to_numpy(), expected)
            assert found["prediction_id"].n_unique() == 100
            assert bench.counted() - before == 100, (target, dying.fatal)
        assert dying.fatal > 16, target


def test_a_part_that_was_recorded_is_made_of_the_same_rows_however_long_it_takes_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts end by time too, so that after a kill they would end elsewhere."""
    monkeypatch.setattr(scoring, "BUNCH_ROWS", 50)
    expected = bench.expected
    for before_s, after_s in ((-1.0, 1e9), (1e9, -1.0)):
        with monkeypatch.context() as patch:
            patch.setattr(making, "PART_S", before_s)
            patch.setattr(Parts, "finish", raising(Killed))
            before = bench.counted()
            with pytest.raises(Killed):
                bench(part_rows=500, overwrite=True)
        assert bench.counted() - before == (50 if before_s < 0 else 500)
        monkeypatch.setattr(making, "PART_S", after_s)
        done = bench(part_rows=500, overwrite=True)
        assert done.parts == (3 if before_s < 0 else 11)
        assert bench.counted() - before == 1000
        found = read(bench.folder / "out.parquet")
        np.testing.assert_allclose(found["probability"].to_numpy(), expected)
        assert found["prediction_id"].n_unique() == 1000


def raising(kind: type[BaseException]) -> Callable[..., Any]:
    """Return what does nothing but to raise."""

    def call(*_: Any) -> None:
        raise kind

    return call


@pytest.mark.slow
def test_a_job_that_is_killed_keeps_its_finished_parts_and_counts_each_row_once(bench: Bench) -> None:
    (bench.folder / "in.csv").write_text(rows(8_000, seed=6))
    out, parts = bench.folder / "out.parquet", bench.folder / "out.parquet.parts"
    command = ["score-batch", "late/1", str(bench.folder / "in.csv"), str(out), "--part-rows", "200"]
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", *command], cwd=bench.sample.project.root,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: len(list(parts.glob("part-*.json"))) >= 3 or process.poll() is not None)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not out.exists()
    with pytest.raises(Conflict, match="other part_rows"):
        bench("in.csv", "out.parquet", part_rows=700)
    done = bench("in.csv", "out.parquet", part_rows=200)
    assert (done.rows, done.answered, done.parts) == (8_000, 8_000, 40)
    assert done.kept_parts >= 3
    found = pl.read_parquet(out)
    np.testing.assert_allclose(found["probability"].to_numpy(), bench.expected)
    assert found["prediction_id"].n_unique() == 8_000
    assert bench.counted() == 8_000
    assert not parts.exists()
