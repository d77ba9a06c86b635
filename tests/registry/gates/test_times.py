"""Gates that look at times compare moments: what is no time, or missing, never passes, and the row's table is named."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from penstock.registry.entities import CheckResult
from registry.gates.asking import Known, ask

ROWS = 20


def table(time: list[Any], first: int = 0) -> pl.DataFrame:
    """Rows that no other table shares; the last has another label."""
    return pl.DataFrame(
        {"x": range(first, first + len(time)), "y": [0] * (len(time) - 1) + [1], "when": time}, strict=False
    )


def leakage(root: Path, trained: list[Any], tested: list[Any]) -> CheckResult:
    tables = {"reference": table(trained), "test": table(tested, first=1000)}
    return ask("leakage: {time: when, max_auc: null, columns: [x]}", root=root, tables=tables)


def staleness(root: Path, times: list[Any]) -> CheckResult:
    today = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
    return ask(
        "staleness: {max_days: 30, time: when}",
        root=root,
        tables={"reference": table(times)},
        facts=Known({}, None, today),
    )


@pytest.mark.parametrize(
    ("trained", "tested", "told"),
    [
        ("10/5/2013", "9/1/2013", "'10/5/2013' in 'when' of reference.parquet is not a time"),
        ("2012-02-01", "01.02.2012", "'01.02.2012' in 'when' of test.parquet is not a time"),
        ("01.02.2012", "2012-02-02", "'01.02.2012' in 'when' of reference.parquet is not a time"),
        ("basic", "gold", "'basic' in 'when' of reference.parquet is not a time"),
        (3, 4, "'3' in 'when' of reference.parquet is not a time"),
    ],
)
def test_leakage_does_not_judge_by_what_is_no_time(
    tmp_path: Path, trained: Any, tested: Any, told: str
) -> None:
    found = leakage(tmp_path, [trained] * ROWS, [tested] * ROWS)
    assert (found.status, found.evidence) == ("error", {"code": "gate.bad_time"})
    assert told in found.sentence


def test_one_value_that_is_no_time_is_found_among_others(tmp_path: Path) -> None:
    later = ["2026-02-20"] * ROWS
    for judge in (lambda times: leakage(tmp_path, times, later), lambda times: staleness(tmp_path, times)):
        found = judge(["2026-02-10", "10.02.2026", *["2026-02-11"] * ROWS])
        assert (found.status, found.evidence) == ("error", {"code": "gate.bad_time"}), found.sentence


def test_moments_are_compared_and_not_how_they_are_written(tmp_path: Path) -> None:
    early = leakage(tmp_path, ["2026-02-10T10:00:00+00:00"] * ROWS, ["2026-02-10T11:00:00+05:00"] * ROWS)
    assert early.status == "fail"
    assert (
        f"{ROWS} held-out rows are earlier than the last training row, 2026-02-10 10:00:00" in early.sentence
    )
    late = leakage(tmp_path, ["2026-02-10T11:00:00+05:00"] * ROWS, ["2026-02-10T10:00:00+00:00"] * ROWS)
    assert late.status == "pass", late.sentence
    mixed = leakage(tmp_path, ["20260210"] * ROWS, [date(2026, 2, 9)] * ROWS)
    assert mixed.status == "fail", mixed.sentence
    assert staleness(tmp_path, ["2026-02-20T10:00:00+05:00", "2026-02-01"]).status == "pass"


def test_rows_without_a_time_are_counted_and_do_not_pass(tmp_path: Path) -> None:
    known, lacking = ["2026-02-10"] * ROWS, ["2026-02-11"] * 10 + [None] * 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for trained, tested, told in (
            (known, lacking, "10 of 20 rows of test.parquet have no 'when'"),
            (known, [None] * ROWS, "20 of 20 rows of test.parquet have no 'when'"),
            (lacking, known, "10 of 20 rows of reference.parquet have no 'when'"),
            ([None] * ROWS, known, "20 of 20 rows of reference.parquet have no 'when'"),
            ([None] * ROWS, [date(2026, 1, 1)] * ROWS, "20 of 20 rows of reference.parquet have no 'when'"),
        ):
            found = leakage(tmp_path, trained, tested)
            assert (found.status, found.evidence) == ("error", {"code": "gate.no_time"})
            assert told in found.sentence
        assert staleness(tmp_path, [None] * ROWS).status == "fail"
