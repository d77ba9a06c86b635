"""`drift`: the columns that the model takes have about the same distribution in another table as in the reference.

The distance is the population stability index over tenths of the reference (of text: over its values), with a bin for what
is missing, corrected for chance; that of an unchanged column exceeds its `noise` once in ten thousand times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.registry.gates.check import Evidence, Floats, Gate, Outcome
from penstock.stats.distances import population_stability, stability_noise

if TYPE_CHECKING:
    import polars as pl

BINS = 10
MAX_VALUES = 50


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
        return Outcome("fail", sentence, n=now.height)
    known = {*before.columns, *now.columns, *(evidence.candidate.inputs if evidence.candidate else ())}
    strange = [name for name in gate.ignore if name not in known]
    if strange:
        raise Invalid(
            f"the drift gate ignores {', '.join(map(repr, strange))}, which no table has",
            code="gate.no_column",
            hint=f"columns: {', '.join(before.columns)[:400]}",
            column=strange[0],
        )
    names = gate.columns or (evidence.candidate.inputs if evidence.candidate else ()) or tuple(before.columns)
    names = tuple(
        name for name in names if name not in gate.ignore and (gate.columns or name in before.columns)
    )
    found: list[dict[str, Any]] = []
    for name in names:
        if name not in before.columns or name not in now.columns:
            found.append({"column": name, "psi": float("inf"), "noise": 0.0, "is": "missing"})
            continue
        if before[name].dtype.is_numeric() and not now[name].dtype.is_numeric():
            found.append({"column": name, "psi": float("inf"), "noise": 0.0, "is": "no number any more"})
            continue
        first, second = _counts(before[name], now[name])
        noise = stability_noise(len(first), before.height, now.height)
        found.append({"column": name, "psi": population_stability(first, second), "noise": noise})
    if not found:
        return Outcome("fail", "there is no column to compare", n=now.height)
    found.sort(key=lambda one: -float(one["psi"]))
    drifted = [one for one in found if one["psi"] > gate.psi_max and one["psi"] > one["noise"]]
    worst = found[0]
    shown = f"is {worst['is']}" if worst.get("is") else f"has {worst['psi']:.3f}"
    sentence = f"{len(drifted)} of {counted(len(found), 'column')} drifted; the worst, {worst['column']}, {shown}, at most {gate.psi_max:g} is allowed"
    return Outcome(
        "fail" if drifted else "pass",
        sentence,
        observed=float(worst["psi"]),
        expected=f"an index of at most {gate.psi_max:g} in every column",
        n=now.height,
        evidence={"columns": found[:100]},
    )


def _counts(before: pl.Series, now: pl.Series) -> tuple[Floats, Floats]:
    if before.dtype.is_numeric() and now.dtype.is_numeric():
        first, second = (one.cast(float).to_numpy().astype(np.float64) for one in (before, now))
        whole = first[~np.isnan(first)]
        edges = (
            np.unique(np.quantile(whole, np.linspace(0, 1, BINS + 1)[1:-1])) if len(whole) else np.empty(0)
        )
        counted = [
            np.append(
                np.bincount(
                    np.searchsorted(edges, one[~np.isnan(one)], side="left"), minlength=len(edges) + 1
                ),
                np.isnan(one).sum(),
            )
            for one in (first, second)
        ]
    else:
        texts = [
            np.array(["" if one is None else f"={one}" for one in column.to_list()])
            for column in (before, now)
        ]
        values, counts = np.unique(texts[0], return_counts=True)
        kept = [str(one) for one in values[np.argsort(-counts, kind="stable")][:MAX_VALUES]]
        counted = []
        for one in texts:
            each = np.array([(one == value).sum() for value in kept])
            counted.append(np.append(each, len(one) - each.sum()))
    used = (counted[0] > 0) | (counted[1] > 0)
    return counted[0][used].astype(np.float64), counted[1][used].astype(np.float64)


def _tables(gate: DriftGate) -> tuple[str, ...]:
    return tuple(name for name in (gate.table, gate.reference) if name is not None)


GATE = Gate(
    settings=DriftGate, check=check_drift, title=lambda gate: gate.table or "held-out", tables=_tables
)
