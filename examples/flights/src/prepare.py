"""Join flights with the weather at their origin, say which were late, and hold out every fifth day."""

from pathlib import Path

import polars as pl
import yaml

WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
TEXT = ["carrier", "origin", "dest"]


def join(flights: pl.DataFrame, weather: pl.DataFrame, late_after_min: float) -> pl.DataFrame:
    """Return one row a flight that arrived: what was known, the delay, and whether it was late."""
    weather = weather.unique(subset=["origin", "time_hour"], keep="first")
    return (
        flights.filter(pl.col("arr_delay").is_not_null())
        .join(weather.select("origin", "time_hour", *WEATHER), on=["origin", "time_hour"], how="left")
        .with_columns((pl.col("arr_delay") > late_after_min).cast(pl.Int64).alias("late"))
        .sort("time_hour", "carrier", "flight", "origin", "dest")
    )


def select(table: pl.DataFrame, features: list[str]) -> pl.DataFrame:
    """Return day, features and label, numbers as floats."""
    numbers = [name for name in features if name not in TEXT]
    return table.select("month", "day", *features, "late").with_columns(pl.col(numbers).cast(pl.Float64))


def read(pattern: str) -> pl.DataFrame:
    """Read every month's delivery of one kind."""
    files = sorted(Path("data/raw").glob(pattern))
    return pl.concat(
        [pl.read_csv(file, null_values="NA", infer_schema_length=None) for file in files],
        how="vertical_relaxed",
    )


def main() -> None:
    """Write the training and the held-out table."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    table = join(read("flights-*.csv"), read("weather-*.csv"), params["late_after_min"])
    table = select(table, params["features"])
    is_held_out = pl.col("day") % 5 == 0
    table.filter(~is_held_out).write_parquet("data/train.parquet")
    table.filter(is_held_out).write_parquet("data/test.parquet")
    print(f"{table.height:,} flights, {table['late'].mean():.1%} late, months {sorted(set(table['month']))}")


if __name__ == "__main__":
    main()
