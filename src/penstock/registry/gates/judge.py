"""Run the gates and bind what they say to exactly this model, these settings and this data."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.registry.entities import CheckResult, Severity, Verdict
from penstock.registry.gates.champion import check_champion
from penstock.registry.gates.check import Evidence
from penstock.registry.gates.metric import check_metric
from penstock.registry.gates.schema import check_schema
from penstock.registry.gates.settings import GateEntry, settings_digest

CHECKS: Mapping[str, Callable[[Any, Severity, Evidence], CheckResult]] = {
    "metric": check_metric,
    "champion": check_champion,
    "schema": check_schema,
}
"""How each kind of an entry is checked. A failed check is a result; only what the settings got wrong raises."""


def run_checks(gates: tuple[GateEntry, ...], evidence: Evidence) -> tuple[CheckResult, ...]:
    """Run every check, in order; one that cannot be run is an `error`, which does not pass."""
    return tuple(_plain(_run(gate, evidence)) for gate in gates)


def make_verdict(
    model: str,
    model_digest: str,
    gates: tuple[GateEntry, ...],
    checks: tuple[CheckResult, ...],
    data: Mapping[str, str],
    actor: str,
) -> Verdict:
    """Return the verdict on one model: passed when no check blocks."""
    return Verdict(
        id=uuid.uuid4().hex,
        model=model,
        model_digest=model_digest,
        settings_digest=settings_digest(gates),
        data=dict(data),
        passed=not any(check.is_blocking for check in checks),
        checks=checks,
        created_ms=now_ms(),
        actor=actor,
    )


def _plain(check: CheckResult) -> CheckResult:
    """Return a check whose evidence is JSON and stays what it is: a number that JSON does not have is its name."""
    return msgspec.structs.replace(check, evidence=_as_json(check.evidence))


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if hasattr(value, "tolist"):
        return _as_json(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _run(gate: GateEntry, evidence: Evidence) -> CheckResult:
    try:
        return CHECKS[gate.kind](getattr(gate, gate.kind), gate.severity, evidence)
    except PenstockError as error:
        return CheckResult(
            kind=gate.kind,
            name=gate.kind,
            status="error",
            severity=gate.severity,
            sentence=f"could not be checked: {error.message}",
            evidence={"code": error.code},
        )
