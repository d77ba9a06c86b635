"""`infrastructure`: a real server loads the candidate and answers over HTTP within limits of time and memory."""

from __future__ import annotations

import msgspec
import numpy as np

from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome, told_of_broken


class InfrastructureGate(msgspec.Struct, frozen=True, kw_only=True):
    """How long the server may take to be ready and to answer, how much memory it may take, and how many errors it may make."""

    ready_s: float = 60.0
    requests: int = 100
    p95_ms: float | None = None
    max_memory_mb: float | None = None
    max_error_ratio: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        limits = [one for one in (self.ready_s, self.p95_ms, self.max_memory_mb) if one is not None]
        if min(limits) <= 0 or not 1 <= self.requests <= 100_000 or not 0 <= self.max_error_ratio < 1:
            raise ValueError(
                "`ready_s`, `p95_ms` and `max_memory_mb` are above 0, `requests` at least 1, `max_error_ratio` in [0, 1)"
            )


def check_infrastructure(gate: InfrastructureGate, evidence: Evidence) -> Outcome:
    """Serve it and ask rows of the held-out table.

    Raises:
        PenstockError: it is not served, or there is nothing to ask.
    """
    frame = evidence.test_table()
    if not frame.height:
        return Outcome("error", "the held-out table has no rows", n=0)
    rows = frame[[index % frame.height for index in range(gate.requests)]]
    found = evidence.require_candidate().serve_apart(rows, gate.ready_s)
    p95_ms = float(np.percentile(found.latencies_ms, 95)) if len(found.latencies_ms) else float("inf")
    broken = [
        *(["max_error_ratio"] if len(found.errors) > gate.max_error_ratio * gate.requests else []),
        *(["p95_ms"] if gate.p95_ms is not None and p95_ms > gate.p95_ms else []),
        *(
            ["max_memory_mb"]
            if gate.max_memory_mb is not None and found.memory_mb > gate.max_memory_mb
            else []
        ),
    ]
    expected = [f"ready in {gate.ready_s:g} s", f"errors in at most {100 * gate.max_error_ratio:g} %"]
    expected += [f"p95 at most {gate.p95_ms:g} ms"] if gate.p95_ms is not None else []
    expected += [f"at most {gate.max_memory_mb:g} MiB"] if gate.max_memory_mb is not None else []
    return Outcome(
        "fail" if broken else "pass",
        f"ready in {found.ready_s:.1f} s, {len(found.errors)} of {counted(gate.requests, 'request')} failed, p95 {p95_ms:.2f} ms, "
        f"{found.memory_mb:.0f} MiB{told_of_broken(broken)}",
        observed=p95_ms,
        expected="; ".join(expected),
        n=gate.requests,
        evidence={"ready_s": found.ready_s, "memory_mb": found.memory_mb, "errors": list(found.errors[:20])},
    )


GATE = Gate(
    settings=InfrastructureGate,
    check=check_infrastructure,
    title=lambda gate: "a real server",
    weighed=weigh(
        ready_s="higher", requests="lower", p95_ms="higher", max_memory_mb="higher", max_error_ratio="higher"
    ),
)
