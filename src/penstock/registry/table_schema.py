"""The rules of a schema file, and the rows of a table that break them.

The schema file is JSON: `{"columns": {NAME: {"type", "required", "nullable", "min", "max", "values",
"max_missing_ratio", "mean_min", "mean_max"}}, "rows": {"min"}, "extra_columns": "allow" | "forbid"}`.
pandera runs the checks; this module translates and puts its findings into sentences.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import msgspec
import pandera.errors
import pandera.polars as pa
import polars as pl

from penstock.base.errors import Invalid
from penstock.base.numbers import counted

Type = Literal["string", "integer", "number", "boolean", "date", "datetime"]


class ColumnRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one column must be. `min` and `max` bound every value, `mean_*` the column's mean."""

    type: Type
    required: bool = True
    nullable: bool = False
    max_missing_ratio: float | None = None
    min: float | None = None
    max: float | None = None
    mean_min: float | None = None
    mean_max: float | None = None
    values: tuple[str, ...] | None = None


class RowRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many rows there must be."""

    min: int = 1


class TableSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A schema file."""

    columns: dict[str, ColumnRule]
    rows: RowRule = RowRule()
    extra_columns: Literal["allow", "forbid"] = "allow"


def type_of(dtype: pl.DataType) -> Type | None:
    """Return what a schema calls a column's type, the narrowest; None for lists and the like."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "string"
    return "date" if dtype == pl.Date else "datetime" if dtype == pl.Datetime else None


def load_schema(path: Path) -> TableSchema:
    """Read a schema file.

    Raises:
        Invalid: it does not exist or is not a schema.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=TableSchema)
    except (OSError, msgspec.DecodeError) as error:
        raise Invalid(
            f"schema {path} cannot be used: {error}",
            code="gate.bad_schema",
            hint=f"mend {path.name}",
            path=str(path),
        ) from None


def validate(table: pl.DataFrame, schema: TableSchema) -> list[dict[str, Any]]:
    """Return the broken rules of a table, each with column, rule, count, example and a sentence; NaN is a missing value."""
    table = table.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    findings = []
    if table.height < schema.rows.min:
        findings.append(
            _finding(
                None,
                "rows",
                table.height,
                None,
                f"{counted(table.height, 'row')}, at least {schema.rows.min} expected",
            )
        )
    if schema.extra_columns == "forbid":
        findings += [
            _finding(name, "extra", 1, None, f"{name}: a column nobody expects")
            for name in table.columns
            if name not in schema.columns
        ]
    wrong = _wrong_types(table, schema)
    findings += [*wrong.values(), *_aggregate_findings(table, schema)]
    try:
        _to_pandera(schema, leave_out=wrong).validate(table, lazy=True)
    except pandera.errors.SchemaErrors as error:
        findings += _translate(error, table, schema)
    return findings


def _wrong_types(table: pl.DataFrame, schema: TableSchema) -> dict[str, dict[str, Any]]:
    """Return the columns of another type than stated; every integer is a number, a column without a value is anything."""
    found = {}
    for name, rule in schema.columns.items():
        if name not in table.columns or table[name].null_count() == table.height:
            continue
        actual = type_of(table.schema[name])
        if actual == rule.type or (actual == "integer" and rule.type == "number"):
            continue
        shown = str(table.schema[name])
        found[name] = _finding(name, "type", table.height, shown, f"{name}: is {shown}, must be {rule.type}")
    return found


def _to_pandera(schema: TableSchema, leave_out: Collection[str]) -> pa.DataFrameSchema:
    columns = {}
    for name, rule in schema.columns.items():
        if name in leave_out:
            continue
        checks = []
        if rule.min is not None:
            checks.append(pa.Check.ge(rule.min, name="min"))
        if rule.max is not None:
            checks.append(pa.Check.le(rule.max, name="max"))
        if rule.values is not None:
            checks.append(pa.Check.isin(list(rule.values), name="values"))
        columns[name] = pa.Column(
            checks=checks,
            nullable=rule.nullable or rule.max_missing_ratio is not None,
            required=rule.required,
        )
    return pa.DataFrameSchema(columns)


def _translate(
    error: pandera.errors.SchemaErrors, table: pl.DataFrame, schema: TableSchema
) -> list[dict[str, Any]]:
    findings: dict[tuple[str, str], dict[str, Any]] = {}
    for item in error.schema_errors:
        name = str(getattr(item.schema, "name", None) or "")
        reason = str(item.reason_code.name if item.reason_code else "")
        if reason == "COLUMN_NOT_IN_DATAFRAME":
            missing = str(item.failure_cases)
            findings[missing, "missing"] = _finding(
                missing, "missing", 1, None, f"{missing}: the column is missing"
            )
        elif reason == "SERIES_CONTAINS_NULLS":
            count = table[name].null_count()
            findings[name, "missing values"] = _finding(
                name,
                "missing values",
                count,
                None,
                f"{name}: {count:,} of {counted(table.height, 'value')} are missing",
            )
        elif name in table.columns:
            rule = str(getattr(item.check, "name", "") or "")
            findings[name, rule] = _broken_rule(table, name, rule, schema.columns[name])
    return list(findings.values())


def _broken_rule(table: pl.DataFrame, name: str, rule: str, limits: ColumnRule) -> dict[str, Any]:
    column = table[name]
    if rule == "min" and limits.min is not None:
        broken, limit = column.filter(column < limits.min), f"at least {limits.min:g}"
        example = broken.min() if len(broken) else None
    elif rule == "max" and limits.max is not None:
        broken, limit = column.filter(column > limits.max), f"at most {limits.max:g}"
        example = broken.max() if len(broken) else None
    else:
        broken = column.filter(~column.is_in(list(limits.values or ())))
        limit = "one of the known values"
        example = broken[0] if len(broken) else None
    sentence = (
        f"{name}: {len(broken):,} of {counted(table.height, 'value')} break «{limit}», such as {example!r}"
        if len(broken)
        else f"{name}: there is no value to look whether it is {limit}"
    )
    return _finding(name, rule, len(broken), example, sentence)


def _aggregate_findings(table: pl.DataFrame, schema: TableSchema) -> list[dict[str, Any]]:
    findings = []
    for name, rule in schema.columns.items():
        if name not in table.columns:
            continue
        column = table[name]
        missing = column.null_count() / table.height if table.height else 0.0
        if rule.max_missing_ratio is not None and missing > rule.max_missing_ratio:
            sentence = f"{name}: {missing:.1%} of the values are missing, at most {rule.max_missing_ratio:.1%} may be"
            findings.append(_finding(name, "max_missing_ratio", column.null_count(), missing, sentence))
        if not column.dtype.is_numeric() or column.null_count() == table.height:
            continue
        mean = float(column.cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]
        if rule.mean_min is not None and mean < rule.mean_min:
            findings.append(
                _finding(
                    name,
                    "mean_min",
                    table.height,
                    mean,
                    f"{name}: the mean is {mean:.4g}, at least {rule.mean_min:g} expected",
                )
            )
        if rule.mean_max is not None and mean > rule.mean_max:
            findings.append(
                _finding(
                    name,
                    "mean_max",
                    table.height,
                    mean,
                    f"{name}: the mean is {mean:.4g}, at most {rule.mean_max:g} expected",
                )
            )
    return findings


def _finding(column: str | None, rule: str, count: int, example: object, sentence: str) -> dict[str, Any]:
    return {
        "column": column,
        "rule": rule,
        "count": count,
        "example": json.loads(json.dumps(example, default=str)),
        "sentence": sentence,
    }
