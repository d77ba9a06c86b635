from __future__ import annotations

import json

import polars as pl

from .conftest import Desk


def test_a_schema_is_proposed_and_tables_are_held_against_it(desk: Desk) -> None:
    table = pl.DataFrame({"hour": list(range(24)) * 4, "carrier": ["AA", "UA"] * 48})
    table.write_parquet(desk.root / "t.parquet")
    assert json.loads(desk.run("schema", "infer", "t.parquet").stdout)["rows"] == {"min": 48}
    assert "2 columns" in desk.run("schema", "infer", "t.parquet", "-o", "s/t.json").stdout
    assert "keep 2 column rules" in desk.run("schema", "check", "t.parquet", "s/t.json").stdout
    assert "--force" in desk.error("schema", "infer", "t.parquet", "-o", "s/t.json", code=4)
    table.with_columns(pl.lit("ZZ").alias("carrier")).write_parquet(desk.root / "bad.parquet")
    found = desk.json("schema", "check", "bad.parquet", "s/t.json", code=1)
    assert [one["column"] for one in found["findings"]] == ["carrier"]


def test_what_is_no_table_or_schema_is_told(desk: Desk) -> None:
    assert "none.csv cannot be read" in desk.error("schema", "infer", "none.csv")
    (desk.root / "t.csv").write_text("a\n1\n")
    (desk.root / "s.json").write_text('{"columns": {"a": {"type": "float"}}}')
    assert "cannot be used" in desk.error("schema", "check", "t.csv", "s.json")
