"""A metric within fixed limits."""

from __future__ import annotations

import math

from penstock.registry.entities import CheckResult, CheckStatus, Severity
from penstock.registry.gates.check import Evidence
from penstock.registry.gates.settings import MetricGate

UNNAMED = "is not known: penstock.yaml names no `metrics:` file under `model:`"


def check_metric(gate: MetricGate, severity: Severity, evidence: Evidence) -> CheckResult:
    """Compare a metric of the metrics file with its limits; a metric that is absent or NaN fails."""
    observed = evidence.metrics.get(gate.name)
    limits = " and ".join(
        text
        for text in (
            f"at least {gate.min:g}" if gate.min is not None else "",
            f"at most {gate.max:g}" if gate.max is not None else "",
        )
        if text
    )
    if observed is None or math.isnan(observed):
        absent = f"is not in {evidence.metrics_from}" if evidence.metrics_from else UNNAMED
        what = absent if observed is None else "is not a number"
        return _result(gate, severity, "fail", f"{gate.name} {what}; it must be {limits}", observed)
    inside = (gate.min is None or observed >= gate.min) and (gate.max is None or observed <= gate.max)
    sentence = f"{gate.name} is {observed:.4f}, must be {limits}"
    return _result(gate, severity, "pass" if inside else "fail", sentence, observed)


def _result(
    gate: MetricGate, severity: Severity, status: CheckStatus, sentence: str, observed: float | None
) -> CheckResult:
    return CheckResult(
        kind="metric",
        name=gate.name,
        status=status,
        severity=severity,
        sentence=sentence,
        evidence={"observed": observed, "min": gate.min, "max": gate.max},
    )
