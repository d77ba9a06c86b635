"""CSV records: counted, parsed as they lie there, and refused by row and reason."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from penstock.base.errors import Invalid
from penstock.cli.main import cli
from penstock.data.formats.batches import reduce_table
from penstock.data.formats.delimited import open_records, parse, read_heading
from penstock.data.formats.tables import column_names, load_table
from penstock.records.signature import Column, Signature
from penstock.serving.scoring import decode_scoring

CELLS = st.text(st.sampled_from('ab,"\n 5é'), min_size=1, max_size=6)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_what_a_csv_writer_wrote_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows, end
) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=end).writerows([["x", "y", "z"], *rows])
    path = tmp_path_factory.getbasetemp() / "records.csv"
    path.write_bytes(buffer.getvalue().encode())
    names, records = open_records(path)
    found = list(records)
    assert not [one.reason for one in found if one.reason]
    assert [list(one) for one in parse(found, names, names).iter_rows()] == rows


def test_a_heading_that_names_a_column_twice_is_refused_wherever_a_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("age,plan,minutes,age\n1,a,2,3\n")
    for read in (read_heading, load_table, column_names, lambda one: reduce_table(one, list)):
        with pytest.raises(Invalid, match="the column 'age' twice") as caught:
            read(path)
        assert caught.value.code == "data.column_twice"
    done = CliRunner().invoke(cli, ["schema", "infer", str(path)])
    assert done.exit_code != 0
    assert "'age' twice" in str(done.exception or "") + done.output
    signature = Signature((Column("age", "FP64"), Column("minutes", "FP64")), (Column("y", "FP64"),))
    split = {"dataframe_split": {"columns": ["age", "minutes", "age"], "data": [[1, 2, 3]]}}
    for body, kind in (
        (b"age,minutes,age\n1,2,3\n", "text/csv"),
        (json.dumps(split).encode(), "application/json"),
    ):
        with pytest.raises(Invalid, match="has the column 'age' twice"):
            decode_scoring(body, kind, signature, 0.0)


def test_columns_without_a_name_may_be_several(tmp_path: Path) -> None:
    path = tmp_path / "unnamed.csv"
    path.write_text("\ufeff,age,,\n1,2,3,4\n", encoding="utf-8")
    names, records = open_records(path)
    assert names[:2] == ["", "age"]
    assert parse(list(records), names, ["age"]).rows() == [("2",)]


def test_a_table_that_is_not_rectangular_is_refused_by_its_row_and_not_by_an_option_of_a_parser(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("age,minutes\n1,2\n1,5,0\n")
    for read in (load_table, lambda one: reduce_table(one, list)):
        with pytest.raises(Invalid, match="row 2 has 3 fields of 2") as caught:
            read(path)
        assert "truncate" not in caught.value.message
        assert "row 2" in str(caught.value.hint)
    pl.DataFrame({"a": [1]}).write_csv(path)
    assert load_table(path).height == 1
