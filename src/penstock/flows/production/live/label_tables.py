"""Labels as a table, Parquet or CSV: one row for each label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from penstock.base.errors import Invalid, NotFound

ID, LABEL, BY = "prediction_id", "label", "by"
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {".parquet": pl.read_parquet, ".csv": pl.read_csv}


def read_labels(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a feedback request that a table stands for.

    Columns `prediction_id` and `label`, and `by` if somebody is named. Rows of one prediction id are the labels of
    its rows, in their order; a missing label is not known.

    Raises:
        NotFound: there is no such file.
        Invalid: it is no table, or one without these columns.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}", code="serving.no_label_table", path=str(path))
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise _bad(path, f"{path.suffix or 'no ending'} is neither .parquet nor .csv")
    try:
        frame = reader(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise _bad(path, str(error).partition("\n")[0]) from None
    missing = [name for name in (ID, LABEL) if name not in frame.columns]
    if missing:
        raise _bad(path, f"it has no column {' and no column '.join(map(repr, missing))}")
    if frame.schema[ID] != pl.String or frame[ID].has_nulls():
        raise _bad(path, f"a value of {ID!r} is no text")
    named = [BY] if BY in frame.columns else []
    entries: dict[str, dict[str, Any]] = {}
    for identity, label, *by in frame.select(ID, LABEL, *named).iter_rows():
        found = entries.get(identity)
        if found is None:
            more = {BY: str(by[0])} if by and by[0] is not None else {}
            entries[identity] = {ID: identity, LABEL: label, **more}
        elif isinstance(found[LABEL], list):
            found[LABEL].append(label)
        else:
            found[LABEL] = [found[LABEL], label]
    return list(entries.values())


def _bad(path: Path, why: str) -> Invalid:
    return Invalid(
        f"{path.name} is no table of labels: {why}",
        code="serving.bad_feedback",
        hint="give a .parquet or .csv with the columns prediction_id and label",
    )
