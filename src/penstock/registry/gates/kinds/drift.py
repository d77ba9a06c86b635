"""`drift`: the columns that the model takes have about the same distribution in another table as in the reference.

The distance is the population stability index over tenths of the reference (of text: over its values), with a bin for what
is missing, corrected for chance; that of an unchanged column exceeds its `noise` once in ten thousand times.
"""

from __future__ import annotations

import msgspec

from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome
from penstock.registry.gates.distributions import choose_columns, compare, judge


class DriftGate(msgspec.Struct, frozen=True, kw_only=True):
    """The largest index of a column in `table` (default: the held-out table) against `reference` (default: the model's).

    `columns` are those that are compared (default: what the model takes); `ignore` are left out.
    """

    psi_max: float
    table: str | None = None
    reference: str | None = None
    columns: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    min_rows: int = 100

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.psi_max <= 0 or self.min_rows < 1:
            raise ValueError("`psi_max` is above 0, `min_rows` at least 1")


def check_drift(gate: DriftGate, evidence: Evidence) -> Outcome:
    """Compare every column; one that the table lacks is drift.

    Raises:
        Invalid: a table is not named or cannot be read, or no table has a column that is ignored.
    """
    before = evidence.table(gate.reference or evidence.require("reference"))
    now = evidence.table(gate.table or evidence.require("test"))
    if min(before.height, now.height) < gate.min_rows:
        sentence = f"{before.height} and {counted(now.height, 'row is', 'rows are')} too few, {gate.min_rows} are needed"
        return Outcome("error", sentence, n=now.height)
    names = choose_columns(evidence, before, now, gate.columns, gate.ignore)
    found = compare(before, now, names, now_count=now.height)
    return judge(found, gate.psi_max, now.height)


def _tables(gate: DriftGate) -> tuple[str, ...]:
    return tuple(name for name in (gate.table, gate.reference) if name is not None)


GATE = Gate(
    settings=DriftGate,
    check=check_drift,
    title=lambda gate: gate.table or "held-out",
    tables=_tables,
    weighed=weigh(
        psi_max="higher", table="any", reference="any", columns="fewer", ignore="more", min_rows="lower"
    ),
)
