"""Labels as a table, Parquet or CSV: one row for each label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from penstock.base.errors import Invalid, NotFound
from penstock.data.formats.delimited import open_records, parse

ID, LABEL, BY = "prediction_id", "label", "by"
SUFFIXES = (".parquet", ".csv")
TRUTH = {"true": True, "false": False}


def read_labels(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the entries of a feedback request that a table stands for, and the number of each one's first row.

    Columns `prediction_id` and `label`, and `by` if somebody is named. Rows of one prediction id are the labels of
    its rows, in their order; a missing label is not known.

    Raises:
        NotFound: there is no such file.
        Invalid: it is no table, or one without these columns.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}", code="serving.no_label_table", path=str(path))
    if path.suffix.lower() not in SUFFIXES:
        raise _bad(path, f"{path.suffix or 'no ending'} is neither .parquet nor .csv")
    try:
        frame = _from_csv(path) if path.suffix.lower() == ".csv" else pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise _bad(path, str(error).partition("\n")[0]) from None
    missing = [name for name in (ID, LABEL) if name not in frame.columns]
    if missing:
        raise _bad(path, f"it has no column {' and no column '.join(map(repr, missing))}")
    if frame.schema[ID] != pl.String:
        raise _bad(path, f"a value of {ID!r} is no text")
    numbers = frame[ID].is_null() | frame[ID].str.contains(r"^\d+$")
    if (row := _first(numbers)) is not None:
        raise _bad(path, f"row {row}: the value of {ID!r} is no text")
    if path.suffix.lower() == ".csv":
        frame = frame.with_columns(_typed(frame[LABEL], path))
    named = [BY] if BY in frame.columns else []
    entries: dict[str, dict[str, Any]] = {}
    rows: list[int] = []
    for row, (identity, label, *by) in enumerate(frame.select(ID, LABEL, *named).iter_rows(), 1):
        found = entries.get(identity)
        if found is None:
            more = {BY: str(by[0])} if by and by[0] is not None else {}
            entries[identity] = {ID: identity, LABEL: label, **more}
            rows.append(row)
        elif isinstance(found[LABEL], list):
            found[LABEL].append(label)
        else:
            found[LABEL] = [found[LABEL], label]
    return list(entries.values()), rows


def _from_csv(path: Path) -> pl.DataFrame:
    names, records = open_records(path)
    found = list(records)
    for row, one in enumerate(found, 1):
        if one.reason:
            raise _bad(path, f"row {row} {one.reason}")
    return parse(found, names, [name for name in names if name in {ID, LABEL, BY}])


def _typed(labels: pl.Series, path: Path) -> pl.Series:
    """Return texts as what they all are: truths, whole numbers, numbers, or else texts.

    Raises:
        Invalid: most are numbers and some are not.
    """
    known = labels.drop_nulls()
    if known.is_empty() or known.is_in(list(TRUTH)).all():
        return labels.replace_strict(TRUTH, default=None, return_dtype=pl.Boolean)
    for kind in (pl.Int64, pl.Float64):
        typed = labels.cast(kind, strict=False)
        if typed.null_count() == labels.null_count():
            return typed
    strange = typed.is_null() & labels.is_not_null()
    row = _first(strange)
    if row is None or 2 * int(strange.sum()) >= len(known):
        return labels
    raise _bad(path, f"row {row}: the label {str(labels[row - 1])[:32]!r} is no number, as most labels are")


def _first(found: pl.Series) -> int | None:
    """Return the first row of a mask, from 1."""
    place = found.arg_max() if found.any() else None
    return None if place is None else place + 1


def _bad(path: Path, why: str) -> Invalid:
    return Invalid(
        f"{path.name} is no table of labels: {why}",
        code="serving.bad_feedback",
        hint="give a .parquet or .csv with the columns prediction_id and label",
    )
