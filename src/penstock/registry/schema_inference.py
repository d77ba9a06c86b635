"""A schema proposed from a table, for somebody to review: what is there now, with room for what may come."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import polars as pl

from penstock.registry.table_schema import ColumnRule, RowRule, TableSchema, type_of

MAX_VALUES = 50
SHARE_OF_ROWS = 0.1
"""A text whose distinct values are fewer than this share of the rows is a category."""


def infer_schema(table: pl.DataFrame, *, slack: float = 0.1) -> tuple[TableSchema, list[str]]:
    """Return the rules that a table keeps, and a note for each column that none can be written for.

    A number's range is what the table has, widened on each side by `slack` of its span, and not below 0 where nothing
    is; a category's values are those seen; missing values may be twice as many; half of the rows must be there.
    """
    columns, notes = {}, []
    for name in table.columns:
        rule = _rule(table[name], slack)
        if rule is None:
            notes.append(f"{name} is {table[name].dtype}: no rule is known for that, so it is left out")
        else:
            columns[name] = rule
    return TableSchema(columns=columns, rows=RowRule(max(1, table.height // 2))), notes


def encode_schema(schema: TableSchema) -> bytes:
    """Return a schema as the text of its file, what is as by default left out, one column a line."""
    document = _without_defaults(schema)
    lines = [
        f"    {_json(name)}: {_json(rule)}{',' if at < len(schema.columns) - 1 else ''}"
        for at, (name, rule) in enumerate(document["columns"].items())
    ]
    head = f'{{\n  "rows": {_json(document["rows"])},\n  "extra_columns": {_json(schema.extra_columns)},\n'
    return (head + '  "columns": {\n' + "\n".join(lines) + "\n  }\n}\n").encode()


def _rule(column: pl.Series, slack: float) -> ColumnRule | None:
    kind = type_of(column.dtype)
    if kind is None:
        return None
    if column.dtype.is_float():
        column = column.fill_nan(None)
    share = column.null_count() / len(column) if len(column) else 0.0
    allowed = min(1.0, math.ceil(share * 2 * 1000) / 1000) if share else None
    values, low, high = None, None, None
    if kind == "string":
        values = _categories(column)
    if kind in ("integer", "number"):
        low, high = _range(column, slack, is_whole=kind == "integer")
    return ColumnRule(type=kind, max_missing_ratio=allowed, min=low, max=high, values=values)


def _categories(column: pl.Series) -> tuple[str, ...] | None:
    distinct = column.drop_nulls().unique().cast(pl.String)
    if not 0 < len(distinct) <= min(MAX_VALUES, max(2, len(column) * SHARE_OF_ROWS)):
        return None
    return tuple(sorted(distinct.to_list()))


def _range(column: pl.Series, slack: float, *, is_whole: bool) -> tuple[float | None, float | None]:
    known = column.drop_nulls().cast(pl.Float64)
    finite = known.filter(known.is_finite())
    if not len(finite):
        return None, None
    low, high = float(finite.min()), float(finite.max())  # type: ignore[arg-type]
    room = (high - low) * slack
    least, most = low - room, high + room
    if low >= 0:
        least = max(0.0, least)
    if is_whole:
        return float(math.floor(least)), float(math.ceil(most))
    return float(f"{least:.4g}") if least < low else least, float(f"{most:.4g}") if most > high else most


def _without_defaults(schema: TableSchema) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(schema)
    plain: dict[str, Any] = msgspec.to_builtins(ColumnRule(type="string"))
    built["columns"] = {
        name: {key: value for key, value in rule.items() if key == "type" or value != plain[key]}
        for name, rule in built["columns"].items()
    }
    return built


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
