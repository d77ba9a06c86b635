"""Times in the columns of tables that gates look at: what is one, and which moment it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from penstock.base.errors import Invalid
from penstock.base.numbers import counted

if TYPE_CHECKING:
    import polars as pl

DAY_US = 86_400_000_000


def read_times(frame: pl.DataFrame, name: str, table: str) -> pl.Series:
    """Return the moments of a column in µs since 1970, (n_rows,) int64, missing ones as null.

    Dates and times of any zone, or texts of them in ISO 8601, are times; what names no zone is in UTC. Texts such as
    `10/5/2013` are none: whether that is in May or in October nobody can say, and as texts they are in no order of time.

    Args:
        table: what the table is called in an error.

    Raises:
        Invalid: the table has no such column, or one of its values is no time.
    """
    if name not in frame.columns:
        raise Invalid(
            f"{table} has no column {name!r}",
            code="gate.no_such_column",
            hint=f"its columns: {', '.join(frame.columns[:20])}",
            column=name,
        )
    import polars as pl  # loaded with the table already

    column = frame[name]
    if isinstance(column.dtype, pl.Date | pl.Datetime):
        return column.dt.epoch("us")
    known = _parsed(column.unique(maintain_order=True).to_list(), name, table)
    return pl.Series(name, [known[value] for value in column.to_list()], dtype=pl.Int64)


def require_times(frame: pl.DataFrame, name: str, table: str) -> pl.Series:
    """Return the moments of a column of which none is missing, as `read_times` does.

    Raises:
        Invalid: a row has no time, or as `read_times` says.
    """
    times = read_times(frame, name, table)
    lacking = times.null_count()
    if lacking:
        raise Invalid(
            f"{lacking} of {counted(len(times), 'row')} of {table} have no {name!r}",
            code="gate.no_time",
            hint="give each row its time, or leave those rows out where the table is made",
            column=name,
            table=table,
        )
    return times


def shown_time(moment_us: int) -> str:
    """Return a moment as people read it: its date, with the time of day unless it is midnight, in UTC."""
    moment = datetime.fromtimestamp(moment_us / 1_000_000, UTC)
    return moment.date().isoformat() if moment_us % DAY_US == 0 else moment.strftime("%Y-%m-%d %H:%M:%S")


def _parsed(values: Iterable[Any], name: str, table: str) -> dict[Any, int | None]:
    found: dict[Any, int | None] = {None: None}
    for value in values:
        if value is None:
            continue
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            raise Invalid(
                f"{str(value)[:40]!r} in {name!r} of {table} is not a time",
                code="gate.bad_time",
                hint="name a column of dates, or of texts such as 2026-11-20",
                column=name,
            ) from None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        found[value] = round(aware.timestamp() * 1_000_000)
    return found
