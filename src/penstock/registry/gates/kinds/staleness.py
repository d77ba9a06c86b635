"""`staleness`: the data that the model was trained on are not too old."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome
from penstock.registry.gates.times import read_times

if TYPE_CHECKING:
    import polars as pl

DAY_MS = 86_400_000


class StalenessGate(msgspec.Struct, frozen=True, kw_only=True):
    """At most `max_days` since the data ended.

    That is the newest value of the column `time` in `table` (default: the model's reference), as dates or ISO 8601; without
    `time`, when the data that the pipeline reads were last committed.
    """

    max_days: float
    time: str | None = None
    table: str | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.max_days <= 0 or (self.table is not None and self.time is None):
            raise ValueError("`max_days` is above 0, and `table` needs `time`")


def check_staleness(gate: StalenessGate, evidence: Evidence) -> Outcome:
    """Compare the newest data with today.

    Raises:
        Invalid: the table has no such column, or its values are no times.
    """
    expected = f"at most {gate.max_days:g} days"
    if evidence.facts is None:
        return Outcome("error", "nobody can say what time it is", expected=expected)
    if gate.time is not None:
        table = gate.table or evidence.require("reference")
        newest = _newest(evidence.table(table), gate.time, table)
    else:
        newest = evidence.facts.data_time_ms()
    if isinstance(newest, str):
        sentence = f"it is not known how old the data are, which must be {expected}: {newest}"
        return Outcome("fail", sentence, expected=expected)
    days = (evidence.facts.now_ms() - newest) / DAY_MS
    shown = datetime.fromtimestamp(newest / 1000, UTC).date().isoformat()
    if days < -1:
        return Outcome("fail", f"the data end on {shown}, which is to come", days, expected)
    return Outcome(
        "pass" if days <= gate.max_days else "fail",
        f"the data end on {shown}, {max(days, 0):.1f} days ago, must be {expected}",
        days,
        expected,
    )


def _newest(frame: pl.DataFrame, name: str, table: str) -> int | str:
    """Return the newest time of a column in ms since 1970; rows without one make the data no older than the others do."""
    newest = read_times(frame, name, table).max()
    return f"no row of {table} has a {name}" if newest is None else int(newest) // 1000  # type: ignore[arg-type]


GATE = Gate(
    settings=StalenessGate,
    check=check_staleness,
    title=lambda gate: gate.time or "data",
    tables=lambda gate: (gate.table,) if gate.table else (),
    weighed=weigh(max_days="higher", time="any", table="any"),
)
