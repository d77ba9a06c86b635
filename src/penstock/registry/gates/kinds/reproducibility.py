"""`reproducibility`: the pipeline, run again from the same commit and data, gives about the same metric."""

from __future__ import annotations

import math

import msgspec

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome


class ReproducibilityGate(msgspec.Struct, frozen=True, kw_only=True):
    """So many `runs`, and how far apart the metric may be, the candidate's own counted; `seed` is made another each time."""

    metric: str
    max_spread: float
    runs: int = 3
    seed: str | None = None

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.max_spread < 0 or not 1 <= self.runs <= 100:
            raise ValueError("`max_spread` is at least 0, `runs` from 1 to 100")


def check_reproducibility(gate: ReproducibilityGate, evidence: Evidence) -> Outcome:
    """Run it again.

    Raises:
        PenstockError: it cannot be run, or gives no such metric.
    """
    if evidence.retraining is None:
        raise Invalid("there is no pipeline to run again", code="gate.no_pipeline", hint="penstock gate run")
    if gate.metric not in evidence.metrics:
        raise Invalid(
            f"the candidate has no metric {gate.metric!r}",
            code="gate.no_metric",
            hint=f"it has {', '.join(sorted(evidence.metrics)) or 'none'}",
        )
    again = evidence.retraining.retrain(gate.runs, gate.seed)
    values = [evidence.metrics[gate.metric], *(one.get(gate.metric, math.nan) for one in again.metrics)]
    if not all(map(math.isfinite, values)):
        return Outcome("error", f"a run gave no number for {gate.metric}", evidence={"values": values})
    spread = max(values) - min(values)
    told = ", ".join(f"{value:.4f}" for value in values[:10])
    sentence = f"{gate.metric} is {told}: {spread:.4g} apart, at most {gate.max_spread:g} allowed"
    return Outcome(
        "pass" if spread <= gate.max_spread else "fail",
        "; ".join([sentence, *again.undetermined]),
        observed=spread,
        expected=f"at most {gate.max_spread:g} apart",
        n=len(values),
        interval=(min(values), max(values)),
        evidence={"values": values, "seed": gate.seed, "undetermined": list(again.undetermined)},
    )


GATE = Gate(
    settings=ReproducibilityGate,
    check=check_reproducibility,
    title=lambda gate: f"{gate.metric} of {counted(gate.runs, 'run')}",
    weighed=weigh(metric="any", max_spread="higher", runs="lower", seed="any"),
)
