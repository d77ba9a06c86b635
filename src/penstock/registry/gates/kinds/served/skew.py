"""`skew`: what an endpoint was asked has about the same distribution as the table that the model was trained on.

Compared are the features as serving recorded them, with the reference of the model: a feature that the service computes
otherwise than training did shows here, whatever the model answers. The rows of a request were made by one caller, and are
alike: a request counts once where chance is judged.
"""

from __future__ import annotations

import msgspec

from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome
from penstock.registry.gates.distributions import choose_columns, compare, judge


class SkewGate(msgspec.Struct, frozen=True, kw_only=True):
    """The largest index of a column in the newest `requests` that an endpoint recorded, against `reference`.

    `endpoint` is the model's own unless named; `reference` is the model's, as are `columns`; `ignore` are left out.
    """

    psi_max: float
    endpoint: str | None = None
    requests: int = 1000
    min_requests: int = 100
    reference: str | None = None
    columns: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.psi_max <= 0:
            raise ValueError("`psi_max` is above 0")
        if not 1 <= self.min_requests <= self.requests <= 100_000:
            raise ValueError("`min_requests` is at least 1 and at most `requests`, which is at most 100000")


def check_skew(gate: SkewGate, evidence: Evidence) -> Outcome:
    """Compare every column; one that no request had is skewed.

    Raises:
        PenstockError: nothing was recorded, or the reference cannot be read.
    """
    import polars  # 0.2 s, and only where it checks

    before = evidence.table(gate.reference or evidence.require("reference"))
    recorded = evidence.require_traffic().recorded(gate.endpoint, gate.requests)
    if len(recorded) < gate.min_requests or not before.height:
        sentence = f"{len(recorded)} recorded requests are too few, {gate.min_requests} are needed"
        if not before.height:
            sentence = "the reference has no rows"
        return Outcome("error", sentence, expected=f"at least {gate.min_requests} requests", n=len(recorded))
    now = polars.concat([one.inputs for one in recorded], how="diagonal_relaxed")
    names = choose_columns(evidence, before, now, gate.columns, gate.ignore)
    found = compare(before, now, names, now_count=len(recorded))
    return judge(found, gate.psi_max, len(recorded), moved="are served otherwise than trained")


GATE = Gate(
    settings=SkewGate,
    check=check_skew,
    title=lambda gate: gate.endpoint or "served",
    tables=lambda gate: (gate.reference,) if gate.reference is not None else (),
    weighed=weigh(
        psi_max="higher",
        endpoint="any",
        min_requests="lower",
        reference="any",
        columns="fewer",
        ignore="more",
        requests="lower",
    ),
)
