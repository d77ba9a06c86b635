"""The features hold what they say."""

import sys
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import prepare

FLIGHTS = pl.DataFrame(
    {
        "month": [1, 1, 1],
        "day": [1, 1, 2],
        "carrier": ["UA", "AA", "UA"],
        "flight": [1, 2, 3],
        "origin": ["EWR", "JFK", "EWR"],
        "dest": ["IAH", "MIA", "IAH"],
        "hour": [5, 6, 7],
        "distance": [1400, 1089, 1400],
        "arr_delay": [11.0, 16.0, None],
        "time_hour": ["2013-01-01T10:00:00Z", "2013-01-01T11:00:00Z", "2013-01-02T12:00:00Z"],
    }
)
WEATHER = pl.DataFrame(
    {"origin": ["EWR"], "time_hour": ["2013-01-01T10:00:00Z"], **{name: [1.0] for name in prepare.WEATHER}}
)


def test_a_flight_that_never_arrived_is_left_out() -> None:
    assert prepare.join(FLIGHTS, WEATHER, 15).height == 2


def test_late_means_more_than_the_limit() -> None:
    table = prepare.join(FLIGHTS, WEATHER, 15)
    assert dict(zip(table["carrier"], table["late"], strict=True)) == {"UA": 0, "AA": 1}


def test_unknown_weather_is_missing_not_zero() -> None:
    table = prepare.join(FLIGHTS, WEATHER, 15)
    assert table.filter(pl.col("origin") == "JFK")["temp"].to_list() == [None]
