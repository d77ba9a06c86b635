"""Parquet files read by row groups, and joined without being written anew."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from penstock.data.formats.columns import no_column
from penstock.data.formats.footers import Joined, read_footer
from penstock.data.formats.row_groups import parquet_frames
from penstock.data.formats.thrift import write_struct


def frame(rows: int, start: int = 0) -> pl.DataFrame:
    """Return a table of many kinds of columns."""
    numbers = range(start, start + rows)
    return pl.DataFrame(
        {
            "n": pl.Series(numbers, dtype=pl.Int64),
            "x": pl.Series([None if one % 7 == 0 else one / 3 for one in numbers], dtype=pl.Float64),
            "text": pl.Series([f"v{one % 5}" for one in numbers], dtype=pl.String),
            "when": pl.Series([datetime(2026, 1, 1, tzinfo=UTC)] * rows, dtype=pl.Datetime("us", "UTC")),
            "list": pl.Series([[one, one] for one in numbers], dtype=pl.List(pl.Int32)),
            "nothing": pl.Series([None] * rows, dtype=pl.Null),
        }
    )


def test_a_file_is_read_whole_in_order_whatever_its_row_groups_and_from_any_row_on(tmp_path: Path) -> None:
    path = tmp_path / "a[1]*.parquet"  # no pattern
    for rows, group in ((0, 10), (1, 10), (95, 10), (1000, 1000)):
        whole = frame(rows)
        whole.write_parquet(path, row_group_size=group)
        footer = read_footer(path)
        assert footer is not None and sum(footer.group_rows) == rows
        for names in (None, ["text", "n"]):
            for skip in (0, 1, 37, rows):
                parts = list(parquet_frames(path, names, rows=30, skip=skip))
                expected = (whole if names is None else whole.select(names)).slice(skip)
                assert sum(part.height for part in parts) == expected.height
                assert not parts or pl.concat(parts).equals(expected)


def test_joined_files_are_one_file_with_the_rows_of_all(tmp_path: Path) -> None:
    whole, paths = [], []
    for index, rows in enumerate((40, 1, 0, 25)):
        whole.append(frame(rows, start=100 * index))
        paths.append(tmp_path / f"{index}.parquet")
        whole[-1].write_parquet(paths[-1], row_group_size=10, compression=("zstd", "lz4")[index % 2])
    joined = Joined.of(paths)
    assert joined is not None
    target = tmp_path / "joined.parquet"
    for _ in range(2):  # its bytes may be gone through again
        target.write_bytes(b"".join(joined))
        assert target.stat().st_size == joined.size_bytes
        assert pl.read_parquet(target).equals(pl.concat(whole))
    assert pl.scan_parquet(target).filter(pl.col("n") >= 300).collect().equals(whole[3])
    frame(3).rename({"x": "y"}).write_parquet(paths[0])
    assert Joined.of(paths) is None, "files of other columns are not one"


def test_an_end_is_written_as_it_was_read_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame(50).write_parquet(path, row_group_size=10)
    data = path.read_bytes()
    footer = read_footer(path)
    assert footer is not None
    assert write_struct(footer.content) == data[footer.data_end : -8]
    chance = random.Random(4)
    for _ in range(600):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(footer.data_end, len(data))] = chance.randrange(256)
        path.write_bytes(damaged[: chance.choice((len(data), chance.randrange(len(data))))])
        found = read_footer(path)
        assert found is None or all(rows >= 0 for rows in found.group_rows)
        Joined.of([path])  # whatever it says, it raises nothing


def test_what_is_no_parquet_is_refused_by_who_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame(50).write_parquet(path)
    whole = path.read_bytes()
    for data in (b"", b"PAR1", whole[:-9], whole[:40] + whole[-8:]):
        path.write_bytes(data)
        assert read_footer(path) is None
        with pytest.raises(pl.exceptions.PolarsError):
            list(parquet_frames(path, None, rows=10))


def test_a_column_that_is_not_there_is_told_with_what_looks_like_it() -> None:
    for there, hint in (
        (["F0", "f1"], "it has 'F0'"),
        ([" f0 ", "f1"], "it has ' f0 '"),
        (["\ufefff0", "f1"], "names have to agree"),
        (["f0;f1;f2"], "with semicolons in it"),
        (["f0\tf1"], "with tabs in it"),
        (["a", "b"], "columns: a, b"),
        ([f"x{one}" for one in range(40)], "and 10 more"),
        ([], "no columns at all"),
    ):
        assert hint in str(no_column("?", "f0", there).hint), there
