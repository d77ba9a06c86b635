from __future__ import annotations

import datetime
import json
from pathlib import Path

import msgspec
import polars as pl

from penstock.registry.schema_inference import encode_schema, infer_schema
from penstock.registry.table_schema import ColumnRule, TableSchema, load_schema, validate


def table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "hour": pl.Series([n % 24 for n in range(200)], dtype=pl.Int32),
            "wind": [float(n % 40) - 5 for n in range(200)],
            "carrier": pl.Series([["AA", "UA"][n % 2] for n in range(200)], dtype=pl.Categorical),
            "id": [f"user {n}" for n in range(200)],
            "late": [n % 2 == 0 for n in range(200)],
            "day": [datetime.date(2026, 1, 1)] * 200,
            "seen": [datetime.datetime(2026, 1, 1)] * 200,
            "gaps": [None if n % 10 == 0 else 1.5 for n in range(200)],
            "nothing": pl.Series([None] * 200, dtype=pl.Float64),
            "list": [[1]] * 200,
        }
    )


def test_a_table_keeps_the_schema_that_was_inferred_from_it(tmp_path: Path) -> None:
    schema, notes = infer_schema(table())
    path = tmp_path / "s.json"
    path.write_bytes(encode_schema(schema))
    read = load_schema(path)
    assert read == schema
    assert validate(table(), read) == []
    assert notes == ["list is List(Int64): no rule is known for that, so it is left out"]


def test_a_number_that_is_none_is_a_missing_value() -> None:
    frame = pl.DataFrame({"a": [1.0, float("nan"), 3.0]})
    schema, _ = infer_schema(frame)
    assert schema.columns["a"].max_missing_ratio == 0.667
    assert validate(frame, schema) == []
    strict = TableSchema(columns=json_columns({"a": "number"}))
    assert [one["sentence"] for one in validate(frame, strict)] == ["a: 1 of 3 values are missing"]


def test_what_is_inferred_is_what_a_person_would_write() -> None:
    columns = json.loads(encode_schema(infer_schema(table())[0]))["columns"]
    assert columns["hour"] == {"type": "integer", "min": 0.0, "max": 26.0}
    assert columns["wind"] == {"type": "number", "min": -8.9, "max": 37.9}
    assert columns["carrier"] == {"type": "string", "values": ["AA", "UA"]}
    assert columns["id"] == {"type": "string"}
    assert columns["gaps"] == {"type": "number", "max_missing_ratio": 0.2, "min": 1.5, "max": 1.5}
    assert [columns[name]["type"] for name in ("late", "day", "seen")] == ["boolean", "date", "datetime"]


def test_every_kind_of_integer_is_one_and_a_number_too_and_nothing_else() -> None:
    schema = TableSchema(columns=json_columns({"a": "integer", "b": "number", "c": "string"}))
    for kind in (pl.Int8, pl.UInt16, pl.Int32, pl.Int64):
        frame = pl.DataFrame({"a": [1], "b": [2], "c": ["x"]}, schema={"a": kind, "b": kind, "c": pl.String})
        assert validate(frame, schema) == [], kind
    wrong = pl.DataFrame({"a": [1.5], "b": ["x"], "c": [1]})
    assert [one["sentence"] for one in validate(wrong, schema)] == [
        "a: is Float64, must be integer",
        "b: is String, must be number",
        "c: is Int64, must be string",
    ]


def json_columns(types: dict[str, str]) -> dict[str, ColumnRule]:
    return {name: msgspec.convert({"type": kind, "min": None}, ColumnRule) for name, kind in types.items()}
