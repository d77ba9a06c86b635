"""A table that is broken among others: found before a row is recorded where its end or heading tells, else told, and mended."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from flows.production.scoring.bench import Bench, bench, read
from penstock.base.errors import Conflict, Invalid
from penstock.cli.production.score_batch import _render
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]


def tables_of(bench: Bench) -> Path:
    folder = bench.folder / "days"
    folder.mkdir()
    frame = pl.read_csv(bench.folder / "in.csv")
    for number, name in enumerate(("a", "b", "c")):
        frame.slice(300 * number, 300).write_parquet(folder / f"{name}.parquet", compression="zstd")
    return folder


def test_what_an_end_or_a_heading_tells_is_found_before_a_row_is_recorded(bench: Bench) -> None:
    folder = tables_of(bench)
    for name, text in (
        ("a.parquet", "no parquet"),
        ("b.parquet", "no parquet"),
        ("d.csv", "a,b\n1,2\n"),
        ("d.jsonl", "no json\n"),
    ):
        whole = (folder / name).read_bytes() if (folder / name).exists() else None
        (folder / name).write_text(text)
        with pytest.raises(Invalid, match=name):
            bench("days")
        assert bench.counted() == 0
        assert not list(bench.folder.glob("out.*"))
        (folder / name).unlink()
        if whole is not None:
            (folder / name).write_bytes(whole)


def test_what_was_recorded_before_a_damaged_table_is_told_and_kept_and_counted_once(bench: Bench) -> None:
    folder = tables_of(bench)
    whole = (folder / "b.parquet").read_bytes()
    damaged = whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :]
    (folder / "b.parquet").write_bytes(damaged)
    with pytest.raises(Invalid, match=r"b\.parquet") as caught:
        bench("days")
    assert "300 rows before it are kept and recorded for endpoint late: run the same command again" in str(
        caught.value.hint
    )
    assert bench.counted() == 300
    first = (folder / "a.parquet").read_bytes()
    pl.read_csv(bench.folder / "in.csv").head(10).write_parquet(folder / "a.parquet")
    with pytest.raises(Conflict, match="other tables"):
        bench("days")
    (folder / "a.parquet").write_bytes(first)
    (folder / "b.parquet").write_bytes(whole)
    done = bench("days", restart=True)
    assert done.notes == ("300 rows of the discarded parts stay counted for endpoint late",)
    assert bench.counted() == 300 + 900


def test_a_mended_table_goes_on_with_the_job_and_its_rate_is_of_this_run(bench: Bench) -> None:
    folder = tables_of(bench)
    whole = (folder / "b.parquet").read_bytes()
    (folder / "b.parquet").write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(Invalid):
        bench("days")
    (folder / "b.parquet").write_bytes(whole)
    done = bench("days")
    assert (done.rows, done.new_rows, done.kept_parts, bench.counted()) == (900, 600, 1, 900)
    assert read(bench.folder / "out.parquet")["probability"].to_list() == pytest.approx(
        bench.expected[:900].tolist()
    )
    assert f", {600 / done.seconds:,.0f} rows/s" in _render(done)
