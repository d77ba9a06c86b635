"""`metric`: a metric of the metrics file within fixed limits."""

from __future__ import annotations

import math

import msgspec

from penstock.registry.gates.asking import weigh
from penstock.registry.gates.check import Evidence, Gate, Outcome

MOST_TOLD = 8
UNNAMED = "is not known: penstock.yaml names no `metrics:` file under `model:`"


class MetricGate(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of the metrics file within fixed limits."""

    name: str
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        """Refuse a check that cannot fail, or cannot pass."""
        if self.min is None and self.max is None:
            raise ValueError("a metric check needs `min` or `max`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no number is at least `min` {self.min:g} and at most `max` {self.max:g}")


def check_metric(gate: MetricGate, evidence: Evidence) -> Outcome:
    """Compare a metric with its limits; one that is absent, NaN or infinite is an error: nothing was measured."""
    observed = evidence.metrics.get(gate.name)
    limits = " and ".join(
        text
        for text in (
            f"at least {gate.min:g}" if gate.min is not None else "",
            f"at most {gate.max:g}" if gate.max is not None else "",
        )
        if text
    )
    kept = {"observed": observed, "min": gate.min, "max": gate.max}
    if observed is None or not math.isfinite(observed):
        absent = f"is not in {evidence.metrics_from}, {_told(evidence)}" if evidence.metrics_from else UNNAMED
        what = absent if observed is None else "is not a number" if math.isnan(observed) else "is infinite"
        return Outcome("error", f"{gate.name} {what}; it must be {limits}", observed, limits, evidence=kept)
    inside = (gate.min is None or observed >= gate.min) and (gate.max is None or observed <= gate.max)
    sentence = f"{gate.name} is {observed:.4f}, must be {limits}"
    sentence += f"; {evidence.metrics_note}" if evidence.metrics_note else ""
    return Outcome("pass" if inside else "fail", sentence, observed, limits, evidence=kept)


def _told(evidence: Evidence) -> str:
    """Return what there is in the place of a metric: one of a classifier is not asked of a model of numbers."""
    names = sorted(evidence.metrics)
    more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
    return f"which has {', '.join(names[:MOST_TOLD])}{more}" if names else "which has none"


GATE = Gate(
    settings=MetricGate,
    check=check_metric,
    title=lambda gate: gate.name,
    weighed=weigh(name="any", min="lower", max="higher"),
)
