"""A column of times keeps its zone: the model that is served reads the clock that it was fitted on."""

from __future__ import annotations

import json
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest

import penstock
from patience import PATIENCE_S
from penstock.base.errors import Invalid
from penstock.base.store.database import Database
from penstock.flows.models.folders import files_of_folder
from penstock.flows.models.tables import table_inputs
from penstock.records.signature import Column, Signature
from penstock.records.zones import zone_name
from penstock.serving.loaders import load_model
from penstock.serving.loaders.fed import example_columns
from penstock.serving.loaders.times import as_times
from penstock.serving.matching import to_columns
from penstock.serving.tensors import Tensor
from serving.models import FolderSource, deploy
from serving.own_models import Hours
from serving.rpc import make_process

UTC_TIMES = ["2026-03-28T23:30:00", "2026-07-01T12:00:00", "2026-12-24T18:00:00"]
BERLIN, FIXED = [0, 14, 19], [2, 15, 21]
"""The hours of these in Berlin, whose clock changes in between, and at +03:00."""


def pandas_frame(zone: Any) -> pd.DataFrame:
    times = pd.to_datetime(pd.Series(UTC_TIMES))
    return pd.DataFrame({"at": times.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else times})


def polars_frame(zone: str) -> pl.DataFrame:
    times = pl.Series("at", UTC_TIMES).str.to_datetime(time_zone="UTC")
    return pl.DataFrame({"at": times.dt.convert_time_zone(zone)})


@pytest.mark.parametrize(
    ("rows", "zone", "hours", "first"),
    [
        (pandas_frame("Europe/Berlin"), "Europe/Berlin", BERLIN, "2026-03-29T00:30:00.000000+01:00"),
        (polars_frame("Europe/Berlin"), "Europe/Berlin", BERLIN, "2026-03-29T00:30:00.000000+01:00"),
        (pandas_frame(timezone(timedelta(hours=3))), "+03:00", FIXED, "2026-03-29T02:30:00.000000+03:00"),
        (pandas_frame("UTC"), "UTC", [23, 12, 18], "2026-03-28T23:30:00.000000+00:00"),
        (pandas_frame(None), "", [23, 12, 18], "2026-03-28T23:30:00.000000"),
    ],
)
def test_the_model_is_given_its_zone_back(
    tmp_path: Path, rows: Any, zone: str, hours: list[int], first: str
) -> None:
    penstock.save_model(Hours(), tmp_path / "m", inputs=rows)
    files = files_of_folder(tmp_path / "m", "m", 1, "d")
    assert [one.zone for one in files.signature.inputs] == [zone]
    kept = json.loads((tmp_path / "m" / "input_example.json").read_bytes())
    assert kept["data"][0] == [first]
    columns = example_columns(files.signature, files.example)
    assert columns is not None
    outputs = load_model(files).predict(columns, 3)
    own = Hours().predict(rows)
    assert outputs["hour"].tolist() == own["hour"].tolist() == hours
    assert outputs["zone"].tolist() == own["zone"]


def test_a_request_in_any_offset_is_the_same_moment_and_one_without_is_refused(
    database: Database, tmp_path: Path
) -> None:
    penstock.save_model(Hours(), tmp_path / "m", inputs=pandas_frame("Europe/Berlin"))
    deploy(database, "hours", 1, model="m")
    process = make_process(database, FolderSource(files_of_folder(tmp_path / "m", "m", 1, "d")))
    process.start()

    def ask(text: str) -> httpx.Response:
        tensor = {"name": "at", "datatype": "BYTES", "shape": [1], "data": [text]}
        return httpx.post(
            f"{process.url}/v2/models/hours/infer", json={"inputs": [tensor]}, timeout=PATIENCE_S
        )

    try:
        for text in ("2026-07-01T12:00:00Z", "2026-07-01T14:00:00+02:00", "2026-07-01T07:00:00-05:00"):
            assert ask(text).json()["outputs"][0]["data"] == [14.0]
        for text in ("2026-07-01T12:00:00", "2026-07-01"):
            answer = ask(text)
            assert (answer.status_code, answer.json()["code"]) == (400, "serving.bad_data")
            assert "Europe/Berlin, and one names no offset" in answer.json()["error"]
        for text in ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59Z"):
            answer = ask(text)
            assert (answer.status_code, answer.json()["code"]) == (400, "serving.bad_data")
    finally:
        process.stop()


@pytest.mark.parametrize(
    ("zone", "text", "why"),
    [
        (None, "9999-12-31T23:59:59-12:00", "outside the years 1 to 9999 in UTC"),
        (None, "0001-01-01T00:00:00+14:00", "outside the years 1 to 9999 in UTC"),
        ("Europe/Berlin", "0001-01-01T00:00:00+14:00", "outside the years 1 to 9999 in UTC"),
        ("Europe/Berlin", "9999-12-31T23:59:59Z", "on the clock of Europe/Berlin"),
        ("America/New_York", "0001-01-01T00:00:00Z", "on the clock of America/New_York"),
    ],
)
def test_a_time_that_no_clock_tells_is_refused(tmp_path: Path, zone: str | None, text: str, why: str) -> None:
    penstock.save_model(Hours(), tmp_path / "m", inputs=pandas_frame(zone))
    signature = files_of_folder(tmp_path / "m", "m", 1, "d").signature
    with pytest.raises(Invalid, match=f"no datetime: .*{why}") as caught:
        to_columns(signature, [Tensor("at", "BYTES", np.array([text], dtype=object))])
    assert caught.value.code == "serving.bad_data"
    rest = "9999-12-31T22:59:59Z" if zone == "Europe/Berlin" else "9999-12-31T23:59:59Z"
    assert to_columns(signature, [Tensor("at", "BYTES", np.array([rest], dtype=object))])[1] == 1


@pytest.mark.parametrize(
    "text",
    [
        "12026-01-01",
        "-0001-01-01",
        "0000-12-31",
        "999999-01-01",
        "290000-01-01",
        "now",
        "today",
        "28.11.2026",
        "1T11" * 20_000,
        "2026-11-28T08:30:00" + "0" * 100_000 + "+01:00",
    ],
)
def test_a_text_that_is_no_time_in_the_years_1_to_9999_is_refused_at_once(text: str) -> None:
    for meaning in ("date", "datetime"):
        at = Signature((Column("at", "BYTES", meaning=meaning),), ())
        with pytest.raises(Invalid, match=f"no {meaning}: .*years 1 to 9999"):
            to_columns(at, [Tensor("at", "BYTES", np.array([text], dtype=object))])


def test_a_table_s_own_zone_goes_along_with_its_times(tmp_path: Path) -> None:
    penstock.save_model(Hours(), tmp_path / "m", inputs=pandas_frame("Europe/Berlin"))
    files = files_of_folder(tmp_path / "m", "m", 1, "d")
    for zone in ("UTC", "Asia/Tokyo"):
        columns = table_inputs(files.signature, polars_frame(zone))
        assert load_model(files).predict(columns, 3)["hour"].tolist() == BERLIN


def test_what_no_name_tells_is_refused_when_the_model_is_saved(tmp_path: Path) -> None:
    odd = timezone(timedelta(seconds=10))
    mixed = pd.DataFrame({"at": [pd.Timestamp(one, tz="Europe/Berlin") for one in UTC_TIMES]}, dtype=object)
    for rows in (pandas_frame(odd), mixed):
        with pytest.raises(Invalid, match="the time zone of column 'at' cannot be kept") as caught:
            penstock.save_model(Hours(), tmp_path / "m", inputs=rows)
        assert "by name" in str(caught.value.hint)
    assert [zone_name(one) for one in (ZoneInfo("Asia/Kolkata"), UTC, odd)] == ["Asia/Kolkata", "UTC", None]


@pytest.mark.filterwarnings("error")
def test_no_text_of_a_time_makes_numpy_warn() -> None:
    for text in ("2026-01-01T05:00:00+05:30 ", " 2025-12-31T23:30:00Z", "2025-12-31T23:30:00"):
        assert as_times([text]).astype(str).tolist() == ["2025-12-31T23:30:00.000000"]
    for text in (
        "2026-01-01T05:00:00z",
        "2026-01-01T05:00:00+5",
        "2026-01-01T05:00+05:00:00",
        "2026-01-01T05-",
    ):
        with pytest.raises(ValueError, match="is no date or time"):
            as_times([text])
