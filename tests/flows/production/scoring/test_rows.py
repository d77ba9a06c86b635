"""Rows that are no rows of their table: told by number and reason, never scored on a neighbour's values."""

from __future__ import annotations

import json
from datetime import date, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from flows.production.scoring.bench import Bench, bench, read
from penstock.base.errors import PenstockError
from penstock.flows.production.scoring import scoring
from penstock.flows.production.scoring.reading import read_parts
from penstock.flows.production.scoring.rows import rows_of
from penstock.flows.production.scoring.wanted import Part, Wanted
from penstock.records.signature import Column, Signature
from serving.fixtures import released_root

__all__ = ["bench", "released_root"]
LINE = {"hour": 7, "wind": 10.0, "carrier": "AA"}


def test_a_row_of_csv_that_is_not_as_wide_as_the_heading_is_bad_whatever_columns_are_used(
    bench: Bench,
) -> None:
    (bench.folder / "in.csv").write_text(
        'key,hour,wind,carrier,late\n1,7,10,AA,0\n2,7,1,5,AA,0\n3,7,10\n\n5,7,10,"A,""A\nB",0\n6,7,10,5" A,0\n'
        '7,7,10,"open,0\n8,7,10,AA,0\n'
    )
    for columns in (("key", "wind"), ("key", "late"), ()):
        done = bench(columns=columns, overwrite=True, part_rows=3)
        assert done.rows == 8
        assert [(one.row, one.reason) for one in done.bad_rows] == [
            (2, "has 6 fields of 5"),
            (3, "has 3 fields of 5"),
            (4, "has 0 fields of 5"),
            (7, "is no CSV: unexpected end of data"),
        ]
    bench(columns=("key", "carrier"), overwrite=True)
    out = read(bench.folder / "out.parquet").filter(pl.col("error").is_null())
    assert out["key"].to_list() == ["1", "5", "6", "8"]
    assert out["carrier"].to_list() == ["AA", 'A,"A\nB', '5" A', "AA"]


def test_lines_whose_values_are_of_other_kinds_are_bad_and_are_told_by_their_line_in_the_file(
    bench: Bench,
) -> None:
    others = [{"carrier": {"a": 1}}, {"carrier": ["AA"]}, {"carrier": 5}, {"carrier": True}, {"hour": [7]}]
    lines = ["", json.dumps(LINE), "", *(json.dumps(LINE | one) for one in others), "", json.dumps(LINE)]
    (bench.folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    expected = [(row, "carrier is no text") for row in (4, 5, 6, 7)] + [(8, "hour is no number")]
    for part_rows in (2, 100):
        done = bench("in.jsonl", "out.jsonl", part_rows=part_rows, overwrite=True, columns=("hour",))
        assert (done.rows, done.answered) == (7, 2)
        assert [(one.row, one.reason) for one in done.bad_rows] == expected


def test_a_line_that_names_a_key_twice_is_bad_however_it_is_written(bench: Bench) -> None:
    good = '{"hour": 7, "wind": 10.0, "carrier": "A\\": A", "note": {"hour": 1, "wind": 2}}'
    lines = [
        '{"hour": 7, "wind": 10.0, "carrier": "AA", "hour": 8}',
        good,
        '{"hour" : 7, "wind":10.0, "carrier":"AA", "\\u0077ind" :1}',
        '{"hour": 7, "wind": 10.0, "carrier": "AA", "late": 0, "late": 1}',
    ]
    expected = [(1, "hour"), (3, "wind"), (4, "late")]
    (bench.folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    for part_rows in (1, 100):
        done = bench("in.jsonl", "out.jsonl", part_rows=part_rows, overwrite=True, columns=("hour",))
        assert done.answered == 1
        assert [(one.row, one.reason) for one in done.bad_rows] == [
            (row, f"names {name} twice") for row, name in expected
        ]
        assert read(bench.folder / "out.jsonl")["hour"].to_list() == [None, 7, None, None]


def test_a_part_without_any_answer_has_the_columns_of_the_others_in_every_format(bench: Bench) -> None:
    lines = [json.dumps(LINE | one) for one in ({"hour": [1]}, {}, {"hour": "x"}, {"hour": 8})]
    (bench.folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    for target in ("out.csv", "out.jsonl", "out.parquet", "parts"):
        columns = () if target == "parts" else ("hour",)
        done = bench("in.jsonl", target, part_rows=1, columns=columns)
        assert (done.rows, done.answered, done.parts) == (4, 2, 4)
        out = read(bench.folder / target)
        assert out["error"].to_list() == ["hour is no number", None, "hour is no number", None], target
        assert [one is None for one in out["probability"]] == [True, False, True, False]
        if columns:
            assert [str(one) for one in out["hour"]] == ["[1]", "7", "x", "8"]


def test_a_part_of_lines_may_lack_columns_or_be_no_json_at_all(bench: Bench) -> None:
    lines = [json.dumps(LINE | {"key": "a"}), "{", json.dumps(LINE), "{}", json.dumps(LINE | {"key": "b"})]
    (bench.folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    for target in ("out.csv", "out.jsonl", "out.parquet"):
        assert bench("in.jsonl", target, part_rows=1, columns=("key",)).answered == 3
        out = read(bench.folder / target)
        assert out["key"].to_list() == ["a", None, None, None, "b"], target
        assert [one is None for one in out["error"]] == [True, False, True, False, True]


@pytest.mark.parametrize("target", ["out.csv", "out.jsonl", "out.parquet"])
@pytest.mark.parametrize("part_rows", [2, 4])
def test_lists_and_objects_that_are_carried_beside_a_broken_line_are_json(
    bench: Bench, target: str, part_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "BUNCH_ROWS", 2)
    carried: list[dict[str, object]] = [{"t": ["p", "q"], "o": {"x": 1}}, {"t": ["é"], "o": {"x": 2}}]
    lines = [*(json.dumps(LINE | one) for one in (*carried, carried[0])), "{"]
    (bench.folder / "in.jsonl").write_text("\n".join(lines) + "\n")
    done = bench("in.jsonl", target, part_rows=part_rows, columns=("t", "o"))
    assert (done.rows, done.answered) == (4, 3)
    out = read(bench.folder / target) if target != "out.jsonl" else None
    rows = (
        [json.loads(line) for line in (bench.folder / target).read_text().splitlines()]
        if out is None
        else out.rows(named=True)
    )
    told = [
        {name: json.loads(one[name]) if isinstance(one[name], str) else one[name] for name in "to"}
        for one in rows
    ]
    assert told == [*carried, carried[0], {"t": None, "o": None}]
    assert rows[0]["t"] == rows[2]["t"] or target == "out.jsonl"  # in one spelling


def test_objects_of_other_fields_and_what_is_no_list_elsewhere_are_carried(bench: Bench) -> None:
    values: list[object] = [{"x": 1}, {"x": 1}, {"x": 1, "y": "b"}, {"y": "a"}, [1], [1], 5, 5]
    (bench.folder / "in.jsonl").write_text("".join(json.dumps(LINE | {"m": one}) + "\n" for one in values))
    for target in ("out.csv", "out.parquet"):
        assert bench("in.jsonl", target, part_rows=2, columns=("m",)).answered == 8
        found = [json.loads(one) for one in read(bench.folder / target)["m"]]
        told = [
            {k: v for k, v in one.items() if v is not None} if isinstance(one, dict) else one for one in found
        ]
        assert told == values


def test_what_cannot_be_read_is_refused_in_words_of_ours_and_leaves_nothing_behind(bench: Bench) -> None:
    files = {
        "twice.csv": ("hour,wind,carrier,hour\n1,2,AA,3\n", "twice.csv has the column 'hour' twice"),
        "nothing.csv": ("", "it has no heading"),
        "in.jsonl": ("no json\n[1]\n", "holds no JSON objects"),
    }
    for name, (text, words) in files.items():
        (bench.folder / name).write_text(text)
        with pytest.raises(PenstockError) as caught:
            bench(name)
        assert words in caught.value.message
        assert caught.value.hint
        assert not list(bench.folder.glob("*.parts"))
    (bench.folder / "in.jsonl").write_text(json.dumps(LINE) + "\n")
    assert bench("in.jsonl").answered == 1


def asked(column: Column, values: pl.Series) -> tuple[list[object], dict[int, str]]:
    found = rows_of(Part(pl.DataFrame({column.name: values}), {}), Signature((column,), ()), ())
    return found.columns[column.name].tolist(), found.reasons


def test_an_optional_boolean_is_true_false_or_missing() -> None:
    column = Column("flag", "FP64", False, meaning="boolean")
    numbers, reasons = asked(column, pl.Series([0.0, 1.0, 2.0, None, 0.5]))
    assert reasons == {2: "flag is neither true nor false", 4: "flag is neither true nor false"}
    assert numbers[:2] == [0.0, 1.0] and len(numbers) == 3
    assert asked(column, pl.Series(["true", "7", ""]))[1] == {1: "flag is neither true nor false"}
    assert asked(column, pl.Series([True, None, False]))[1] == {}
    required = Column("flag", "BOOL")
    assert asked(required, pl.Series(["true", "0", "x"])) == ([True, False], {2: "flag is no number"})
    assert asked(required, pl.Series([0.0, 3.0]))[1] == {1: "flag is neither true nor false"}
    assert asked(required, pl.Series([1, 0])) == ([True, False], {})


def test_dates_are_times_and_what_is_no_date_is_told() -> None:
    at = Column("at", "BYTES", meaning="datetime")
    texts, reasons = asked(at, pl.Series([date(2026, 11, 28), date(1, 1, 1)]))
    assert reasons == {} and texts == ["2026-11-28T00:00:00.000000", "0001-01-01T00:00:00.000000"]
    far = pl.Series([10**15, 10**9]).cast(pl.Datetime("ms"))  # the year 33658
    assert asked(at, far)[1] == {0: "at is no datetime"}
    absent = {0: "at is missing", 1: "at is missing"}
    assert asked(at, pl.Series(["", "NaT", "2026-11-28", "now"]))[1] == absent | {3: "at is no datetime"}
    for odd in (pl.Series([time(8, 30)]), pl.Series([timedelta(hours=1)])):
        with pytest.raises(PenstockError, match=r"column 'at' holds .* the model takes a datetime") as error:
            asked(at, odd)
        assert error.value.code == "data.no_times"


@pytest.mark.parametrize("others", [[], ["5.0"], ["1e3"], ["x"], ["1.5"]])
def test_a_whole_number_is_exact_whatever_other_rows_say(others: list[str]) -> None:
    for datatype, number in (
        ("INT64", 9007199254740993),
        ("INT64", -(2**63)),
        ("UINT64", 2**63 + 1),
        ("UINT64", 2**64 - 1),
    ):
        found, _ = asked(Column("k", datatype), pl.Series([f" {number}", *others]))
        assert found[0] == number


def test_a_number_that_may_have_been_rounded_or_does_not_fit_is_told() -> None:
    rounded, beyond = (
        "k is a floating-point number from 2^53 on, which may be rounded",
        "k does not fit into ",
    )
    for datatype, value, reason in (
        ("INT64", "9007199254740993.0", rounded),
        ("INT64", "1e17", rounded),
        ("INT64", 2.0**53, rounded),
        ("INT64", -(2.0**60), rounded),
        ("INT64", "1e300", f"{beyond}INT64"),
        ("INT64", "9223372036854775808", f"{beyond}INT64"),
        ("INT64", "inf", "k is not finite"),
        ("UINT64", "18446744073709551616", f"{beyond}UINT64"),
        ("UINT64", "-1", f"{beyond}UINT64"),
        ("INT8", "128", f"{beyond}INT8"),
        ("FP32", "1e300", f"{beyond}FP32"),
        ("FP32", -1e39, f"{beyond}FP32"),
        ("FP32", float("inf"), "k is not finite"),
        ("FP16", "70000", f"{beyond}FP16"),
    ):
        found, reasons = asked(Column("k", datatype), pl.Series([value, type(value)("5")]))
        assert (reasons, found) == ({0: reason}, [5]), (datatype, value)
    optional = Column("k", "FP32", False)
    assert asked(optional, pl.Series(["nan", "", "1"]))[1] == {}
    assert asked(Column("k", "INT64"), pl.Series(["9007199254740991.0"])) == ([2**53 - 1], {})


def test_lines_of_json_with_fractions_among_whole_numbers_keep_these_exact(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    numbers = (9007199254740993, 2**63 - 1, 5)
    path.write_text("".join(f'{{"k": {one}, "other": 1e300}}\n' for one in (*numbers, "5.0")))
    (part,) = read_parts(path, Wanted(["k", "other"], whole=["k"]), rows=10)
    signature = Signature((Column("k", "INT64"), Column("other", "FP64")), ())
    found = rows_of(part, signature, ())
    assert found.reasons == {}
    assert found.columns["k"].tolist() == [*numbers, 5]
    assert found.columns["other"].tolist() == [1e300] * 4
