"""Run the gates and bind what they say to exactly this model, these settings and this data."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import msgspec

from penstock.base.clock import now_ms
from penstock.base.errors import Invalid, PenstockError
from penstock.registry.entities import CheckResult, CheckStatus, Verdict, Waiver
from penstock.registry.gates.check import Evidence, Outcome
from penstock.registry.gates.settings import GateEntry, code_of, settings_digest

DOORS = "approval"
"""The kind of check that doors ask."""


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
    *,
    root: Path,
) -> Verdict:
    """Return the verdict on one model: passed when no check blocks. `root` has the code that gates name."""
    return Verdict(
        id=uuid.uuid4().hex,
        model=model,
        model_digest=model_digest,
        settings_digest=settings_digest(gates, root),
        data=dict(data),
        passed=not any(check.is_blocking for check in checks),
        checks=checks,
        created_ms=now_ms(),
        actor=actor,
    )


def _run(entry: GateEntry, evidence: Evidence) -> CheckResult:
    title, interval = entry.kind, None
    code: dict[str, str] = {}
    try:
        code = code_of(entry, evidence.root)
        title = entry.gate.title(entry.settings)
        found = entry.gate.check(entry.settings, evidence)
        _require_files(entry, evidence.root)
        if not isinstance(found, Outcome) or found.status not in get_args(CheckStatus):
            raise TypeError("the check answered no outcome")
        if found.status == "waiting" and entry.kind != DOORS:
            raise TypeError("only what is asked at the doors may wait")
        interval = None if found.interval is None else _interval(found.interval)
    except PenstockError as error:
        found = Outcome("error", f"could not be checked: {error.message}", evidence={"code": error.code})
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a gate of somebody else may raise anything
        words = f"{type(error).__name__}: {error}"
        found = Outcome("error", f"could not be checked: {words[:500]}", evidence={"error": words[:2000]})
    try:
        return _result(entry, title, found, interval, code)
    except (ValueError, TypeError) as error:  # such as a number of rows that is a text
        found = Outcome("error", f"could not be checked: the check answered no outcome: {error}"[:500])
        return _result(entry, title, found, None, code)


def _result(
    entry: GateEntry,
    title: str,
    found: Outcome,
    interval: tuple[float | None, float | None] | None,
    code: dict[str, str],
) -> CheckResult:
    """Return what is kept of an outcome, as the store will give it back: what is signed must be what is read.

    Raises:
        ValueError, TypeError: it has a value of another type than it may.
    """
    waiver, told = _waived(entry, found)
    if found.status == "waiting" and entry.severity == "warn":
        found = replace(found, sentence=f"not yet {found.expected}; it only warns: doors open without")
    result = CheckResult(
        kind=entry.kind,
        name=title,
        status=found.status,
        severity=entry.severity,
        sentence=found.sentence + told,
        waiver=waiver,
        observed=_as_json(found.observed),
        expected=found.expected,
        n=_count(found.n),
        interval=interval,
        asked=_as_json(entry.written()[entry.kind]),
        evidence=_as_json(found.evidence),
        code=code,
    )
    return msgspec.json.decode(msgspec.json.encode(result), type=CheckResult)


def _waived(entry: GateEntry, found: Outcome) -> tuple[Waiver | None, str]:
    """Return the waiver that lets a failed check pass, and what is told of it; an error is never waived."""
    waiver = entry.waiver
    if waiver is None or found.status == "pass":
        return None, ""
    if found.status != "fail":
        return None, "; a waiver is for what failed, not for what could not be checked"
    if not waiver.holds_at(now_ms()):
        return None, f"; its waiver ended on {waiver.until}"
    return waiver, f"; waived by {waiver.by} until {waiver.until}: {waiver.reason}"


def _require_files(entry: GateEntry, root: Path) -> None:
    """Make sure that what a verdict is bound to is there: a misspelled name would bind it to nothing.

    Raises:
        Invalid: a file is not in the repository.
    """
    for name in entry.gate.files(entry.settings):
        if not (root / name).is_file():
            raise Invalid(
                f"{name} is not in the repository", code="gate.no_code", hint="mend its name in penstock.yaml"
            )


def _count(given: Any) -> Any:
    """Return a number of rows as a whole number where it is one."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


def _interval(given: Any) -> tuple[float | None, float | None]:
    """Return an interval's two ends.

    Raises:
        TypeError, ValueError: it is no pair of numbers.
    """
    low, high = given
    return _number(low), _number(high)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _as_json(value: Any) -> Any:
    """Return a value as JSON that stays what it is: a number that JSON does not have is its name."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if hasattr(value, "tolist"):
        return _as_json(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
