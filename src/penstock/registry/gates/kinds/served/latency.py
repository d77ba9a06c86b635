"""`latency`: one row at a time is answered fast enough, in the real engine on this machine, and beside the champion.

Both models are asked in turn, block by block, so that what else the machine does hits both. It is the time from the bytes
of a request to the bytes of its answer, without a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Floats, Gate, Outcome, Subject

if TYPE_CHECKING:
    import polars as pl

BLOCKS = 5


class LatencyGate(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds that 50, 95 or 99 of 100 requests stay within, and how many times the champion's 95 % it may take."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ratio: float | None = None
    requests: int = 200
    warmup: int = 20

    def __post_init__(self) -> None:
        """Refuse a check that cannot fail, and values outside their range."""
        limits = [one for one in (self.p50_ms, self.p95_ms, self.p99_ms, self.max_ratio) if one is not None]
        if not limits or min(limits) <= 0:
            raise ValueError("a latency check needs `p50_ms`, `p95_ms`, `p99_ms` or `max_ratio`, above 0")
        if self.requests < 20 or self.warmup < 0:
            raise ValueError("`requests` is at least 20, `warmup` at least 0")


def check_latency(gate: LatencyGate, evidence: Evidence) -> Outcome:
    """Ask row by row.

    Raises:
        PenstockError: the model cannot be asked.
    """
    frame = evidence.test_table()
    if not frame.height:
        return Outcome("error", "the held-out table has no rows", n=0)
    subjects = [evidence.require_candidate()]
    if gate.max_ratio is not None and evidence.champion is not None:
        subjects.append(evidence.champion)
    took = _measure(gate, subjects, frame)
    ours = took[0]
    limits = {50: gate.p50_ms, 95: gate.p95_ms, 99: gate.p99_ms}
    found = {share: float(np.percentile(ours, share)) for share in limits}
    expected = [f"p{share} at most {limit:g} ms" for share, limit in limits.items() if limit is not None]
    within = all(found[share] <= limit for share, limit in limits.items() if limit is not None)
    sentence = ", ".join(f"p{share} {found[share]:.2f} ms" for share in limits)
    kept: dict[str, object] = {f"p{share}_ms": value for share, value in found.items()}
    if gate.max_ratio is not None:
        if len(took) > 1:
            theirs = float(np.percentile(took[1], 95))
            expected.append(f"p95 at most {gate.max_ratio:g} times the {theirs:.2f} ms of {subjects[1].name}")
            within = within and found[95] <= gate.max_ratio * theirs
            kept["champion_p95_ms"] = theirs
        else:
            sentence += "; there is no champion to compare with"
    words = " and ".join(expected) or "no slower than the champion"
    return Outcome(
        "pass" if within else "fail",
        f"{sentence} over {counted(len(ours), 'request')}, must be {words}",
        observed=found[95],
        expected=words,
        n=len(ours),
        evidence=kept,
    )


def _measure(gate: LatencyGate, subjects: list[Subject], frame: pl.DataFrame) -> list[Floats]:
    """Return each model's latencies, taken in turn."""
    rows = -(-gate.requests // BLOCKS)
    took: list[list[Floats]] = [[] for _ in subjects]
    for block in range(BLOCKS):
        part = _rows(frame, block * rows, rows + (gate.warmup if block == 0 else 0))
        for index, subject in enumerate(subjects):
            took[index].append(subject.latencies_ms(part, gate.warmup if block == 0 else 0))
    return [np.concatenate(one) for one in took]


def _rows(frame: pl.DataFrame, start: int, count: int) -> pl.DataFrame:
    """Return so many rows of a table, from its start again where it ends."""
    return frame[[(start + index) % frame.height for index in range(count)]]


GATE = Gate(
    settings=LatencyGate,
    check=check_latency,
    title=lambda gate: "latency",
    weighed=weigh(
        p50_ms="higher",
        p95_ms="higher",
        p99_ms="higher",
        max_ratio="higher",
        requests="lower",
        warmup="higher",
    ),
)
