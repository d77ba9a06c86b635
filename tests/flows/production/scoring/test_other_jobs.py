"""A place is scored into by one process: no other begins there while it runs, and what was taken over is not mixed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.production.scoring.bench import Bench, bench, read
from penstock.base.errors import Conflict
from penstock.base.running import name_process
from penstock.flows.production.scoring import making
from penstock.flows.production.scoring.job import Parts
from penstock.flows.production.scoring.scoring import Request, score_batch
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]


class Killed(BaseException):
    """Stands for the end of the process at one moment."""


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until it is told to end."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


@pytest.fixture
def job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`job.json` of a job that has one finished part."""
    finish = Parts.finish

    def die(self: Parts, part: making.Finished, *more: Any) -> None:
        if part.number:
            raise Killed
        finish(self, part, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "finish", die)
        with pytest.raises(Killed):
            bench()
    return bench.folder / "out.parquet.parts" / "job.json"


def rewrite(job: Path, **values: Any) -> None:
    known = json.loads(job.read_bytes()) | values
    job.write_text(json.dumps({name: one for name, one in known.items() if one is not None}))


def test_neither_the_same_command_nor_a_restart_touches_a_job_that_runs(
    bench: Bench, job: Path, other: subprocess.Popen[bytes]
) -> None:
    rewrite(job, pid=other.pid, process=name_process(other.pid))
    before = sorted(job.parent.iterdir())
    for restart in (False, True):
        with pytest.raises(Conflict, match=f"process {other.pid} is scoring") as caught:
            bench(restart=restart, overwrite=True)
        assert caught.value.code == "batch.runs"
        assert sorted(job.parent.iterdir()) == before
    end(other)
    assert bench(restart=True).kept_parts == 0


@pytest.mark.skipif(
    not name_process().rpartition(".")[2], reason="processes are known by their numbers alone here"
)
@pytest.mark.parametrize("place", ["", "elsewhere"])
def test_a_process_that_has_the_number_of_one_that_ended_stops_no_job(
    bench: Bench, job: Path, other: subprocess.Popen[bytes], place: str
) -> None:
    here = name_process().rpartition(".")[2]
    rewrite(job, pid=other.pid, process=f"{other.pid}.1.{place or here}")
    assert bench().kept_parts == 1


def test_a_job_of_an_earlier_release_is_known_by_its_number(
    bench: Bench, job: Path, other: subprocess.Popen[bytes]
) -> None:
    rewrite(job, pid=other.pid, process=None)
    with pytest.raises(Conflict, match=f"process {other.pid} is scoring"):
        bench(restart=True)
    end(other)
    assert bench().kept_parts == 1


@pytest.mark.parametrize("after", [1, 1000])
def test_a_job_whose_parts_another_one_took_adds_nothing_to_them(bench: Bench, after: int) -> None:
    parts = bench.folder / "out.parquet.parts"
    theirs: dict[str, bytes] = {}

    def take_over(rows: int, _share: float) -> None:
        if theirs or rows < after:
            return
        rewrite(parts / "job.json", id="0" * 16)
        theirs.update({one.name: one.read_bytes() for one in parts.iterdir()})

    request = Request(
        model="late/1", source="in.csv", target="out.parquet", directory=bench.folder, part_rows=250
    )
    with pytest.raises(Conflict, match="was given to another job meanwhile") as caught:
        score_batch(bench.sample.project, request, take_over)
    assert caught.value.code == "batch.taken_over"
    assert not (bench.folder / "out.parquet").exists()
    assert {one.name: one.read_bytes() for one in parts.iterdir()} == theirs
    assert bench(restart=True).answered == 1000
    np.testing.assert_allclose(read(bench.folder / "out.parquet")["probability"].to_numpy(), bench.expected)


def test_a_job_says_which_process_is_at_it(job: Path) -> None:
    said = json.loads(job.read_bytes())
    assert (said["pid"], said["process"]) == (os.getpid(), name_process())
