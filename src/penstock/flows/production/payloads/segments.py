"""Segments: some calls as one Parquet file, a row for each row of a call, and where it lies.

`payloads/ENDPOINT/YYYY-MM-DD/HH-NAME.parquet`, under the day and hour of the calls (UTC). A call may lie in several
segments (one that was sent again, one that is being merged), so a reader takes each row of an id and version once.
Columns: `prediction_id`, `row`, `time`, `version`, `revision`, `route`, `latency_s`, `error`, then `inputs.NAME` and
`outputs.NAME`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from penstock.base.errors import Corrupt
from penstock.flows.production.payloads.redaction import kind_of_error
from penstock.monitoring.rowwise.redaction import is_redacted
from penstock.monitoring.settings import PayloadSettings
from penstock.serving.loaders.model import Array, Columns
from penstock.serving.recorder import Exchange

KEY = ("prediction_id", "version", "row")


def frame_of(exchanges: Sequence[Exchange], settings: PayloadSettings) -> pl.DataFrame:
    """Return calls as rows, without the columns that are to be left out."""
    return concat(_frame(one, settings) for one in exchanges)


def _frame(one: Exchange, settings: PayloadSettings) -> pl.DataFrame:
    count = max(1, one.row_count)
    error = _discreet(one, settings.redact) if one.error and settings.redact else one.error
    columns = [
        pl.Series("prediction_id", [one.id] * count),
        pl.Series("row", np.arange(count, dtype=np.int32)),
        pl.Series("time", [one.time_ms] * count).cast(pl.Datetime("ms", "UTC")),
        pl.Series("version", [one.version] * count, dtype=pl.Int32),
        pl.Series("revision", [one.revision] * count, dtype=pl.Int32),
        pl.Series("route", [one.route] * count),
        pl.Series("latency_s", [one.latency_s] * count),
        pl.Series("error", [error] * count, dtype=pl.String),
        *side("inputs", one.inputs, count, settings.redact),
        *side("outputs", one.outputs, count, settings.redact),
    ]
    return pl.DataFrame(columns)


def _discreet(one: Exchange, redacted: tuple[str, ...]) -> str:
    """Return the kind of a call's error, where it is none of the values that are not to be kept."""
    kind = kind_of_error(one.error or "")
    values = (values for name, values in one.inputs.items() if is_redacted(name, redacted))
    return "error" if any(kind == str(value) for each in values for value in each.ravel().tolist()) else kind


def side(
    name: str, columns: Columns | Mapping[str, Array], count: int, redacted: tuple[str, ...]
) -> list[pl.Series]:
    """Return what was asked or answered as series; what does not have a value a row is left out."""
    return [
        _series(f"{name}.{key}", values)
        for key, values in columns.items()
        if not is_redacted(key, redacted) and len(values) == count
    ]


def _series(name: str, values: Array) -> pl.Series:
    if values.dtype.kind in "OSU" or values.ndim > 1:
        return pl.Series(name, values.tolist(), strict=False)
    return pl.Series(name, np.ascontiguousarray(values))


def concat(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of all frames; a column that is of unlike kinds in them becomes text, which holds them all.

    Numbers, and lists of numbers that are as deep, stay numbers. Of the others a text stays as it is, and what is none
    becomes the JSON of it, so that joining what was joined before changes nothing.
    """
    given = [one for one in frames if one.height]
    if not given:
        return pl.DataFrame()
    kinds: dict[str, set[pl.DataType]] = {}
    for one in given:
        for name, kind in one.schema.items():
            kinds.setdefault(name, set()).add(kind)
    odd = {name for name, found in kinds.items() if not _are_alike(found)}
    even = [one.with_columns(as_text(one[name]) for name in one.columns if name in odd) for one in given]
    return pl.concat(even, how="diagonal_relaxed")


def _are_alike(kinds: set[pl.DataType]) -> bool:
    """Whether one type holds values of all these kinds without a change of what they are."""
    known = {_shape(kind) for kind in kinds if kind != pl.Null}
    depths = {depth for depth, leaf in known if leaf != pl.Null}
    leaves = {leaf for _, leaf in known if leaf != pl.Null}
    is_one = len(leaves) <= 1 or all(leaf.is_numeric() for leaf in leaves)
    # a list of nothing is as deep as it is known to be, and fits into lists that are deeper
    empty = [depth for depth, leaf in known if leaf == pl.Null]
    return is_one and len(depths) <= 1 and (not depths or all(0 < depth <= min(depths) for depth in empty))


def _shape(kind: pl.DataType) -> tuple[int, pl.DataType]:
    """Return how many lists deep a type is, and what is in the innermost."""
    depth = 0
    while isinstance(kind, pl.List | pl.Array):
        depth, kind = depth + 1, _type(kind.inner)
    return depth, kind


def _type(kind: Any) -> pl.DataType:
    found: pl.DataType = kind if isinstance(kind, pl.DataType) else kind()
    return found


def as_text(values: pl.Series) -> pl.Series:
    """Return values as text: texts as they are, others as their JSON; what is missing stays missing."""
    if values.dtype == pl.String:
        return values
    if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null) or values.dtype.is_temporal():
        return values.cast(pl.String, strict=False)
    return pl.Series(
        values.name, [None if one is None else _json(one) for one in values.to_list()], dtype=pl.String
    )


def _json(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return json.dumps(value, ensure_ascii=False, default=str)


def once(frame: pl.DataFrame) -> pl.DataFrame:
    """Return each row of an id and version once, by time."""
    if not frame.height:
        return frame
    return frame.unique(subset=list(KEY), keep="first", maintain_order=True).sort("time", *KEY)


def encode(frame: pl.DataFrame) -> bytes:
    """Return a segment's bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1)
    return buffer.getvalue()


def decode(data: bytes) -> pl.DataFrame:
    """Return what a segment holds.

    Raises:
        Corrupt: it is none (`payloads.bad_segment`).
    """
    try:
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise _bad(str(error).partition("\n")[0][:200]) from None
    absent = [name for name in (*KEY, "time") if name not in frame.columns]
    if absent:
        raise _bad(f"it has no column {absent[0]}")
    if not isinstance(frame.schema["time"], pl.Datetime):
        raise _bad("its column time holds no times")
    return frame


def _bad(why: str) -> Corrupt:
    return Corrupt(
        f"a segment of payloads cannot be read: {why}",
        code="payloads.bad_segment",
        hint="remove it, or bring it back from a copy",
    )
