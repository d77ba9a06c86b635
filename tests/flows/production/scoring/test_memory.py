"""Memory that does not grow with the rows of a table: told by the peaks of processes on tables of two sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flows.production.scoring.bench import Bench, bench
from patience import PATIENCE_S
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]

ROWS = (300_000, 1_500_000)
GROWTH_MAX_MB = 90
"""The larger table has 115 MB more."""
PEAK = """
import re, pathlib
print(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""
COMPARE = f"""
import sys, pathlib
from penstock import compare_tables
compare_tables(*map(pathlib.Path, sys.argv[1:]))
{PEAK}
"""
SCORE = f"""
import sys, pathlib
from penstock.flows.production.scoring.scoring import Request, score_batch
from penstock.workspace import open_workspace
root = pathlib.Path(sys.argv[3])
score_batch(open_workspace(root), Request("late/1", sys.argv[1], sys.argv[2], root, overwrite=True))
{PEAK}
"""


def peak_mb(code: str, *argv: object) -> float:
    """Return the most memory that a process of its own had."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return int(done.stdout.split()[-1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read as Linux tells them")
def test_comparing_and_scoring_take_no_more_memory_for_five_times_the_rows(bench: Bench) -> None:
    chance = np.random.default_rng(0)
    compared, scored = [], []
    for rows in ROWS:
        table = bench.folder / f"{rows}.parquet"
        hours = chance.integers(0, 24, rows).astype(np.int64)
        numbers = {f"x{index}": chance.normal(size=rows) for index in range(9)}
        carrier = pl.Series("carrier", ["AA"]).new_from_index(0, rows)
        frame = pl.DataFrame({"hour": hours, "wind": numbers["x0"], "carrier": carrier, **numbers})
        frame.write_parquet(table, row_group_size=100_000, compression="uncompressed", statistics=False)
        del frame, numbers
        compared.append(peak_mb(COMPARE, table, table))
        out = Path(bench.folder, "out.parquet")
        scored.append(peak_mb(SCORE, table, out, bench.sample.project.root))
        assert pl.scan_parquet(out).select(pl.len()).collect().item() == rows
    assert compared[1] - compared[0] < GROWTH_MAX_MB, compared
    assert scored[1] - scored[0] < GROWTH_MAX_MB, scored
    print(compared, scored)
