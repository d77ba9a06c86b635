"""Rows of runs or points as a Parquet file."""

from __future__ import annotations

import io
from collections.abc import Sequence

import polars as pl

from penstock.client.export.runs import Row

WHOLE = {"start_ms", "end_ms", "time_ms", "step"}


def render_parquet(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    """Return rows as a Parquet file; texts, but for metrics and values (64-bit floats), times and steps (integers)."""
    names = list(rows[0]) if rows else list(columns)
    schema = {name: _type(name) for name in names}
    frame = pl.DataFrame({name: [row[name] for row in rows] for name in names}, schema=schema)
    out = io.BytesIO()
    frame.write_parquet(out)
    return out.getvalue()


def _type(name: str) -> pl.DataType:
    if name in WHOLE:
        return pl.Int64()
    return pl.Float64() if name == "value" or name.startswith("metrics.") else pl.String()
