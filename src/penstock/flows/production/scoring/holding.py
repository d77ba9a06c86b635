"""Which carried columns a format cannot hold, asked before a row is scored, and what is written as JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from penstock.base.errors import Invalid


def require_held(schema: Mapping[str, pl.DataType], suffix: str, path: Path) -> None:
    """Check that every carried column of a table can be written into OUT.

    Args:
        suffix: how OUT ends, as `.csv`.

    Raises:
        Invalid: one of them cannot.
    """
    is_beyond = _BEYOND[suffix]
    beyond = [name for name, kind in schema.items() if _has(kind, is_beyond)]
    if beyond:
        told = ", ".join(f"{name!r} ({schema[name]})" for name in beyond)
        other = "" if suffix == ".parquet" else ", or write a .parquet"
        raise Invalid(
            f"{path.name} has columns to carry that a {suffix} cannot hold: {told}",
            code="batch.not_held",
            hint=f"leave {', '.join(beyond)} out of --columns{other}",
            columns=beyond,
        )


def as_text(value: Any) -> str | None:
    """Return a value as text, lists and objects as JSON; text as it is."""
    return value if isinstance(value, str | None) else json.dumps(value, default=msgspec.to_builtins)


def as_texts(series: pl.Series) -> pl.Series:
    """Return a column as text, lists and objects as JSON; a column of single values as polars writes them."""
    if not series.dtype.is_nested():
        return series.cast(pl.String)
    return pl.Series(series.name, [as_text(one) for one in series.to_list()], dtype=pl.String)


def _has(kind: pl.DataType, is_beyond: Callable[[pl.DataType], bool]) -> bool:
    """Say whether a kind, or one within it, is beyond a format."""
    if is_beyond(kind):
        return True
    if isinstance(kind, pl.Struct):
        return any(_has(_instance(one.dtype), is_beyond) for one in kind.fields)
    return isinstance(kind, pl.List | pl.Array) and _has(_instance(kind.inner), is_beyond)


def _instance(kind: pl.datatypes.DataTypeClass | pl.DataType) -> pl.DataType:
    return kind() if isinstance(kind, type) else kind


def _binary(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.Binary | pl.Object)


_BEYOND: Mapping[str, Callable[[pl.DataType], bool]] = {
    ".csv": lambda kind: _binary(kind) or isinstance(kind, pl.Duration),
    ".jsonl": _binary,
    ".ndjson": _binary,
    ".parquet": lambda kind: isinstance(kind, pl.Object) or (isinstance(kind, pl.Struct) and not kind.fields),
}
