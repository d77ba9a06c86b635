"""Two tables compared, whatever they are: files of any size, or rows that are in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy.typing as npt
import polars as pl

from penstock.base.errors import Invalid
from penstock.data.formats.batches import Batch, columns_left_out, frame_batches, reduce_table
from penstock.monitoring.bins import edges_of
from penstock.monitoring.profile import Profile
from penstock.monitoring.reporting.changes import TableReport, compare_profiles
from penstock.monitoring.settings import DriftLimit
from penstock.registry.flavours.frames import hold_rows

Edges = Mapping[str, npt.NDArray[Any]]
Names = tuple[str, ...]


def compare_rows(
    reference: Any,
    current: Any,
    names: tuple[str, str] = ("reference", "current"),
    limit: DriftLimit | None = None,
) -> TableReport:
    """Return what changed from one table to another.

    A file is read once, in batches: memory does not grow with its rows.

    Args:
        reference: a path of a Parquet, CSV or JSON lines file; a frame of pandas or polars; a mapping of columns.
        current: the same.

    Raises:
        Invalid: one of them is no table.
    """
    if (
        not isinstance(names, tuple | list)
        or len(names) != 2
        or not all(isinstance(one, str) for one in names)
    ):
        raise Invalid(f"names are two texts, not {names!r}", code="monitoring.bad_names")
    before, left_out = _profile(reference)
    now, also = _profile(current, edges_of(before))
    return _with_left_out(compare_profiles(before, now, names, limit), left_out, also)


def compare_files(
    reference: Sequence[Path], current: Sequence[Path], names: tuple[str, str] = ("reference", "current")
) -> TableReport:
    """Return what changed between two tables that lie in files, each of any number of them; reads each once.

    Raises:
        Invalid: one of them is no table.
    """
    before, left_out = _profile_of_files(reference)
    now, also = _profile_of_files(current, edges_of(before))
    return _with_left_out(compare_profiles(before, now, names), left_out, also)


def _with_left_out(report: TableReport, *names: Names) -> TableReport:
    return msgspec.structs.replace(
        report, left_out=tuple(dict.fromkeys(name for some in names for name in some))
    )


def _profile_of_files(paths: Sequence[Path], edges: Edges | None = None) -> tuple[Profile, Names]:
    whole, left_out = Profile(edges=edges), Names()
    for path in paths:
        profile, names = _profile(path, edges)
        whole, left_out = whole.merge(profile), (*left_out, *names)
    return whole, left_out


def _profile(table: Any, edges: Edges | None = None) -> tuple[Profile, Names]:
    """Return a table's profile, and the columns that are not in it."""

    def reduce(batches: Iterable[Batch]) -> Profile:
        profile = Profile(edges=edges)
        for batch in batches:
            profile.update(batch.columns, batch.row_count, batch.texts)
        return profile

    if isinstance(table, str | Path):
        return reduce_table(Path(table), reduce), columns_left_out(Path(table))
    try:
        frame = _frame(table)
        return reduce(frame_batches(frame)), columns_left_out(frame)
    except pl.exceptions.PolarsError as error:
        raise Invalid(
            f"a table cannot be compared: {str(error)[:200]}",
            code="monitoring.no_table",
            hint="give it numbers, texts, booleans and dates",
        ) from error


def _frame(rows: Any) -> pl.DataFrame:
    columns = [str(one) for one in getattr(rows, "columns", ())]
    twice = sorted({one for one in columns if columns.count(one) > 1})
    if twice:
        raise Invalid(
            f"a table has the column {twice[0]!r} twice",
            code="monitoring.no_table",
            hint="give every column a name of its own",
        )
    held = hold_rows(rows)
    if held.frame is None:
        raise Invalid(
            "a table has columns with names",
            code="monitoring.no_table",
            hint="give a frame of pandas or polars, a mapping of columns, or the path of a file",
        )
    return held.frame
