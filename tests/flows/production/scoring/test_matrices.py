"""Tables for a model that takes one matrix: its columns are found by name, however later rows or tables order them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression

import penstock
from flows.production.scoring.bench import Bench, bench, read
from penstock.base.errors import Invalid
from penstock.flows.production.scoring import making, scoring
from penstock.flows.production.scoring.rows import rows_of
from penstock.flows.production.scoring.wanted import Part
from penstock.records.signature import Column, Signature
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]
ROWS = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [3.0, 5.0], [1.0, 1.0]])


@pytest.fixture
def matrix(bench: Bench) -> Bench:
    """A model in a folder that answers the first column and a hundred times the second."""
    model = LinearRegression().fit(ROWS, ROWS @ [1.0, 100.0])
    penstock.save_model(model, str(bench.folder / "matrix"), inputs=ROWS)
    return bench


def lines(path: Path, *rows: dict[str, Any] | str) -> None:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in rows))


def answers(path: Path) -> list[float | None]:
    frame = read(path)
    (name,) = [name for name, kind in frame.schema.items() if kind.is_float()]
    return [None if one is None else round(one, 6) for one in frame[name].to_list()]


def test_keys_in_another_order_in_a_later_bunch_are_the_same_columns(matrix: Bench) -> None:
    lines(matrix.folder / "o.jsonl", *[{"a": 1, "b": 2}] * 2, *[{"b": 2, "a": 1}] * 2)
    matrix("o.jsonl", "out.csv", model="matrix", part_rows=2)
    assert answers(matrix.folder / "out.csv") == [201.0] * 4


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_headings_in_another_order_are_the_same_columns(matrix: Bench, suffix: str) -> None:
    folder = matrix.folder / "two"
    folder.mkdir()
    for name, columns in (("x", ["a", "b", "key"]), ("y", ["key", "b", "a"])):
        frame = pl.DataFrame({"a": [1], "b": [2], "key": [name]}).select(columns)
        frame.write_csv(folder / f"{name}.csv") if suffix == ".csv" else frame.write_parquet(
            folder / f"{name}.parquet"
        )
    matrix("two", "out.csv", model="matrix", columns=("key",))
    assert answers(matrix.folder / "out.csv") == [201.0, 201.0]


def test_a_job_that_goes_on_keeps_the_order_of_its_first_rows(
    matrix: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = matrix.folder / "two"
    folder.mkdir()
    (folder / "x.csv").write_text("a,b\n1,2\n")
    lines(folder / "y.jsonl", "[", "[")
    with pytest.raises(Invalid, match=r"y\.jsonl"), monkeypatch.context() as patch:
        patch.setattr(scoring, "check_table", lambda *_: ())
        matrix("two", "out.csv", model="matrix", part_rows=1)
    lines(folder / "y.jsonl", {"b": 2, "a": 1})
    assert matrix("two", "out.csv", model="matrix", part_rows=1).kept_parts == 1
    assert answers(matrix.folder / "out.csv") == [201.0, 201.0]


def test_a_table_with_other_columns_is_refused_and_what_differs_is_named(matrix: Bench) -> None:
    folder = matrix.folder / "two"
    folder.mkdir()
    (folder / "x.csv").write_text("a,b\n1,2\n")
    (folder / "y.csv").write_text("a,c\n1,2\n")
    with pytest.raises(Invalid, match=r"y\.csv has other columns .*: no 'b', 'c'$") as caught:
        matrix("two", "out.csv", model="matrix")
    assert caught.value.code == "batch.other_columns"
    assert not list(matrix.folder.glob("out*"))
    (folder / "y.csv").unlink()
    lines(folder / "y.jsonl", {"a": 1, "c": 2})
    with pytest.raises(Invalid, match=r"the table has other columns .*: 'c'$"):
        matrix("two", "out.csv", model="matrix")


def test_a_line_without_a_column_or_of_no_json_is_told_by_itself_in_every_bunch(matrix: Bench) -> None:
    good = {"a": 1, "b": 2}
    lines(matrix.folder / "o.jsonl", good, {"a": 1}, "{", "{}", {"a": 1, "b": 2, "c": [3]}, good)
    done = matrix("o.jsonl", "out.csv", model="matrix", part_rows=1)
    assert answers(matrix.folder / "out.csv") == [201.0, None, None, None, None, 201.0]
    assert [one.row for one in done.bad_rows] == [2, 3, 4, 5]


def test_what_was_kept_of_a_job_by_an_earlier_release_is_read() -> None:
    old = b'{"number":0,"table":0,"next_row":1,"rows":1,"answered":1,"bad":0,"failed":0,"next_counter":0,"reasons":[]}'
    assert msgspec.json.decode(old, type=making.Finished).names == ()


def test_numbers_that_the_matrix_does_not_hold_are_told() -> None:
    for datatype, values, reason in (
        ("FP32", ["1e300", "1"], "m does not fit into FP32"),
        ("INT64", ["1.5", "1"], "m is no whole number"),
        ("INT8", ["300", "1"], "m does not fit into INT8"),
        ("INT64", ["", "1"], "m is missing"),
    ):
        signature = Signature((Column("m", datatype, False, (-1, 1)),), ())
        found = rows_of(Part(pl.DataFrame({"a": values})), signature, ())
        assert (found.reasons, found.columns["m"].tolist()) == ({0: reason}, [[1]]), datatype
