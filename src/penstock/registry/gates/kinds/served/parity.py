"""`parity`: what the served model answers is what the library answers on the same rows."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome


class ParityGate(msgspec.Struct, frozen=True, kw_only=True):
    """The first `rows` of the held-out table, through the library and as a request; numbers agree within `rtol` and `atol`."""

    rows: int = 200
    rtol: float = 1e-5
    atol: float = 1e-8

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.rows < 1 or self.rtol < 0 or self.atol < 0:
            raise ValueError("`rows` is at least 1, `rtol` and `atol` at least 0")


def check_parity(gate: ParityGate, evidence: Evidence) -> Outcome:
    """Ask both ways and compare every output that both give.

    Raises:
        PenstockError: one of them cannot be asked.
    """
    frame = evidence.test_table().head(gate.rows)
    if not frame.height:
        return Outcome("error", "the held-out table has no rows", n=0)
    model = evidence.require_candidate()
    offline, served = dict(model.predict(frame)), dict(model.serve(frame))
    lost = sorted(offline.keys() - served.keys())
    differs = np.zeros(frame.height, dtype=bool)
    worst: dict[str, float] = {}
    for name in offline.keys() & served.keys():
        rows, largest = _different(np.asarray(offline[name]), np.asarray(served[name]), gate, frame.height)
        differs |= rows
        worst[name] = largest
    count = int(differs.sum())
    sentence = f"{count:,} of {counted(frame.height, 'row')} are answered otherwise when served"
    if lost:
        sentence += f"; {', '.join(lost)} is not served at all"
    if not worst:
        sentence = "the served model gives none of the library's outputs"
    return Outcome(
        "pass" if worst and not count and not lost else "fail",
        sentence,
        observed=count / frame.height,
        expected="every row the same",
        n=frame.height,
        evidence={"largest_difference": worst, "not_served": lost, "rows": np.flatnonzero(differs)[:20]},
    )


def _different(one: Any, other: Any, gate: ParityGate, rows: int) -> tuple[Any, float]:
    if one.shape != other.shape:
        return np.ones(rows, dtype=bool), float("inf")
    if one.dtype.kind in "fiub" and other.dtype.kind in "fiub":
        first, second = one.astype(np.float64), other.astype(np.float64)
        same = np.isclose(first, second, rtol=gate.rtol, atol=gate.atol, equal_nan=True)
        gaps = np.abs(first - second)
        largest = float(np.nanmax(gaps)) if gaps.size and not np.isnan(gaps).all() else 0.0
    else:
        same = one.astype(str) == other.astype(str)
        largest = 0.0 if bool(np.all(same)) else 1.0
    return ~same.reshape(rows, -1).all(axis=1), largest


GATE = Gate(
    settings=ParityGate,
    check=check_parity,
    title=lambda gate: f"{counted(gate.rows, 'row')}",
    weighed=weigh(rows="lower", rtol="higher", atol="higher"),
)
