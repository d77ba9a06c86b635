"""`schema`: a table has the columns, types and ranges that a schema file states; the rules are in `registry/table_schema.py`."""

from __future__ import annotations

import msgspec

from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome

MAX_FINDINGS = 20


class SchemaGate(msgspec.Struct, frozen=True, kw_only=True):
    """A table has the columns, types and ranges that a schema file states."""

    table: str
    schema: str


def check_schema(gate: SchemaGate, evidence: Evidence) -> Outcome:
    """Validate the table; every broken rule is named with how many rows break it and an example."""
    from penstock.registry.table_schema import load_schema, validate  # and with it pandera, 1 s

    table = evidence.table(gate.table)
    schema = load_schema(evidence.root / gate.schema)
    findings = validate(table, schema)
    if findings:
        sentence = f"{gate.table}: {'; '.join(item['sentence'] for item in findings[:3])}"
        if len(findings) > 3:
            sentence += f"; and {len(findings) - 3} more"
    else:
        sentence = f"{gate.table}: {counted(table.height, 'row keeps', 'rows keep')} {len(schema.columns)} column rules"
    kept = {"schema": gate.schema, "row_count": table.height, "findings": findings[:MAX_FINDINGS]}
    return Outcome(
        "fail" if findings else "pass",
        sentence,
        observed=f"{len(findings)} broken rules",
        expected="no broken rule",
        n=table.height,
        evidence=kept,
    )


def list_changes(before: bytes | None, after: bytes) -> tuple[tuple[str, bool], ...]:
    """Return what a schema file asks otherwise, each in words, and whether that lets more pass."""
    from penstock.registry.gates.schema_changes import compare_schemas  # and with it pandera, 1 s

    return compare_schemas(before, after)


GATE = Gate(
    settings=SchemaGate,
    check=check_schema,
    title=lambda gate: gate.table,
    tables=lambda gate: (gate.table,),
    files=lambda gate: (gate.schema,),
    weighed=weigh(table="any", schema="any"),
    limits=list_changes,
)
