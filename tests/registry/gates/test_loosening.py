"""What gates lost against those of a verdict."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.registry.entities import CheckResult
from penstock.registry.gates.catalogue import find_gate
from penstock.registry.gates.loosening import compare_gates
from penstock.registry.gates.settings import GateEntry


def _entry(**keys: Any) -> GateEntry:
    kind = next(iter(keys))
    settings = msgspec.convert(keys.pop(kind), find_gate(kind).settings)
    return GateEntry.of_keys({kind: settings, **keys})


def _check(entry: GateEntry) -> CheckResult:
    return CheckResult(
        kind=entry.kind, name=entry.gate.title(entry.settings), status="pass", severity=entry.severity,
        sentence="it holds", asked=msgspec.json.decode(msgspec.json.encode(entry.written()[entry.kind])),
    )  # fmt: skip


def test_what_is_gone_only_warns_or_is_asked_otherwise_is_told() -> None:
    auc, loss = _entry(metric={"name": "auc", "min": 0.6}), _entry(metric={"name": "loss", "max": 2.0})
    before = [_check(auc), _check(loss), _check(_entry(leakage={}))]
    warned = _entry(metric={"name": "auc", "min": 0.6}, severity="warn")
    lower = _entry(metric={"name": "auc", "min": 0.1})
    higher = _entry(metric={"name": "auc", "min": 0.7})
    for after, lost, changed in (
        ((auc, loss, _entry(leakage={})), "", ()),
        ((), "3 gates were removed: metric auc, metric loss, leakage held-out rows", ()),
        ((loss, _entry(leakage={})), "1 gate was removed: metric auc", ()),
        ((loss, warned, _entry(leakage={})), "no longer refuses, only warns: metric auc", ()),
        ((lower, loss, _entry(leakage={})), "lets more pass: metric auc (min 0.6 → 0.1)", ()),
        ((higher, loss, _entry(leakage={})), "", ("metric auc: min 0.6 → 0.7",)),
        ((lower, auc, loss, _entry(leakage={})), "", ()),
    ):
        found = compare_gates(before, after)
        assert (found.loss, found.changed) == (lost, changed), after
    assert compare_gates([], (auc,)).loss == ""
