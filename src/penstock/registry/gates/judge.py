"""Run the gates and bind what they say to exactly this model, these settings and this data."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.registry.entities import CheckResult, Verdict
from penstock.registry.gates.champion import check_champion
from penstock.registry.gates.check import Check, Evidence
from penstock.registry.gates.metric import check_metric
from penstock.registry.gates.schema import check_schema
from penstock.registry.gates.settings import GateEntry, settings_digest


def run_checks(gates: tuple[GateEntry, ...], evidence: Evidence) -> tuple[CheckResult, ...]:
    """Run every check, in order; one that cannot be run is an `error`, which does not pass."""
    return tuple(_run(gate, evidence) for gate in gates)


def make_verdict(
    model: str,
    model_digest: str,
    gates: tuple[GateEntry, ...],
    checks: tuple[CheckResult, ...],
    data: Mapping[str, str],
    actor: str,
) -> Verdict:
    """Return the verdict on one model: passed when every blocking check passed."""
    blocking = [check for check in checks if check.severity == "block"]
    return Verdict(
        id=uuid.uuid4().hex,
        model=model,
        model_digest=model_digest,
        settings_digest=settings_digest(gates),
        data=dict(data),
        passed=all(check.status == "pass" for check in blocking),
        checks=checks,
        created_ms=now_ms(),
        actor=actor,
    )


def _run(gate: GateEntry, evidence: Evidence) -> CheckResult:
    check = _check_of(gate)
    try:
        return check(evidence)
    except PenstockError as error:
        kind = _kind(gate)
        return CheckResult(
            kind=kind,
            name=kind,
            status="error",
            severity=gate.severity,
            sentence=f"could not be checked: {error.message}",
            evidence={"code": error.code},
        )


def _kind(gate: GateEntry) -> str:
    return next(kind for kind in ("metric", "champion", "schema") if getattr(gate, kind) is not None)


def _check_of(gate: GateEntry) -> Check:
    if gate.metric is not None:
        return partial(check_metric, gate.metric, gate.severity)
    if gate.champion is not None:
        return partial(check_champion, gate.champion, gate.severity)
    if gate.schema is not None:
        return partial(check_schema, gate.schema, gate.severity)
    raise TypeError("a gate entry without a check cannot be made")
