"""Columns that OUT cannot hold are refused before a row is scored, and what is refused leaves nothing behind."""

from __future__ import annotations

import datetime as dt
import json
import os
import tempfile
from typing import Any

import polars as pl
import pytest

from flows.production.scoring.bench import Bench, bench, read
from penstock.base.errors import Invalid
from penstock.flows.production.scoring import making
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]

BEYOND: dict[str, tuple[Any, tuple[str, ...]]] = {
    "binary": (b"\xff\x00", (".csv", ".jsonl")),
    "binaries": ([b"a"], (".csv", ".jsonl")),
    "within": ({"a": [b"a"]}, (".csv", ".jsonl")),
    "duration": (dt.timedelta(hours=1), (".csv",)),
    "durations": ([dt.timedelta(hours=1)], (".csv",)),
}
HELD: dict[str, Any] = {
    "numbers": [1, 2],
    "object": {"a": 1, "b": {"c": "x"}},
    "objects": [{"a": 1}],
    "days": [dt.date(2026, 1, 2)],
    "day": dt.date(2026, 1, 2),
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".ndjson"])
def test_a_column_that_the_format_cannot_hold_is_named_before_a_row_is_scored(
    bench: Bench, suffix: str
) -> None:
    table = pl.read_csv(bench.folder / "in.csv")
    kind = ".jsonl" if suffix == ".ndjson" else suffix
    names = [name for name, (_, formats) in BEYOND.items() if kind in formats]
    table.with_columns(pl.Series(name, [BEYOND[name][0]] * table.height) for name in names).write_parquet(
        bench.folder / "odd.parquet"
    )
    for name in names:
        with pytest.raises(Invalid, match=f"a {suffix} cannot hold: '{name}'") as found:
            bench("odd.parquet", f"out{suffix}", columns=("late", name))
        assert found.value.code == "batch.not_held"
        assert f"leave {name} out of --columns" in (found.value.hint or "")
    assert bench.counted() == 0
    assert not list(bench.folder.glob("out*"))
    assert bench("odd.parquet", "out.parquet", columns=tuple(names)).answered == 1000


def test_a_later_table_is_refused_before_the_first_is_scored(bench: Bench) -> None:
    table = pl.read_csv(bench.folder / "in.csv").with_columns(bin=pl.lit("x"))
    (bench.folder / "many").mkdir()
    table.write_parquet(bench.folder / "many" / "a.parquet")
    table.with_columns(pl.col("bin").cast(pl.Binary)).write_parquet(bench.folder / "many" / "b.parquet")
    with pytest.raises(Invalid, match=r"b\.parquet .* 'bin'"):
        bench("many", "out.csv", columns=("bin",))
    assert bench.counted() == 0
    assert not list(bench.folder.glob("out*"))


def test_what_a_csv_holds_of_lists_and_objects_is_json(bench: Bench) -> None:
    table = pl.read_csv(bench.folder / "in.csv")
    columns = {name: pl.Series(name, [value] * table.height) for name, value in HELD.items()}
    table.with_columns(columns.values()).write_parquet(bench.folder / "odd.parquet")
    bench("odd.parquet", "out.csv", columns=tuple(HELD))
    row = read(bench.folder / "out.csv").row(0, named=True)
    assert {name: json.loads(row[name]) for name in ("numbers", "object", "objects", "days")} == {
        "numbers": [1, 2],
        "object": {"a": 1, "b": {"c": "x"}},
        "objects": [{"a": 1}],
        "days": ["2026-01-02"],
    }


def test_what_was_refused_leaves_nothing_that_stops_the_next_command(bench: Bench) -> None:
    table = pl.read_csv(bench.folder / "in.csv").with_columns(probability=pl.lit(1.0))
    table.write_csv(bench.folder / "in.csv")
    with pytest.raises(Invalid, match="'probability' twice"):
        bench(columns=("probability",))
    assert not (bench.folder / "out.parquet.parts").exists()
    assert bench(columns=("late",)).answered == 1000
    assert bench.counted() == 1000


class Killed(BaseException):
    """Stands for the end of the process at one moment."""


def test_a_job_that_was_killed_before_it_recorded_anything_stops_no_other_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> bytes:
        raise Killed

    scratch = bench.folder / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    made: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(making, "render_part", lambda *_: (made.extend(os.listdir(scratch)), die()))
        with pytest.raises(Killed):
            bench()
    assert made == []
    parts = bench.folder / "out.parquet.parts"
    assert (parts / "job.json").exists()
    assert bench(columns=("late",)).answered == 1000
    assert bench.counted() == 1000
    assert not parts.exists()
