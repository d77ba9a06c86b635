"""What gates lost against those of a verdict."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.registry.entities import CheckResult
from penstock.registry.gates.asking import asks_less, weigh_by_name
from penstock.registry.gates.catalogue import OWN, find_gate
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


MINIMAL: dict[str, dict[str, Any]] = {
    "metric": {"name": "auc", "min": 0.5},
    "champion": {"metric": "roc_auc"},
    "schema": {"table": "a.csv", "schema": "s.json"},
    "slices": {"columns": ["a"], "metric": "roc_auc", "max_drop": 0.1},
    "fairness": {"columns": ["a"], "max_difference": 0.1},
    "drift": {"psi_max": 0.2},
    "calibration": {"max_error": 0.1},
    "baseline": {"metric": "roc_auc"},
    "reproducibility": {"metric": "auc", "max_spread": 0.1},
    "latency": {"p95_ms": 10.0},
    "size": {"max_mb": 10.0},
    "skew": {"psi_max": 0.2},
    "staleness": {"max_days": 3.0},
    "pytest": {"tests": ["t.py"]},
    "command": {"run": "true"},
    "python": {"check": "a.py:f"},
}
OTHER_WORDS = {"champion": {"margin"}}
"""Settings that are weighed under another name."""


def test_every_setting_of_every_kind_is_weighed() -> None:
    """Also those of chance and of time: nothing of a check changes without somebody having said what it lets pass."""
    for kind in OWN:
        gate = find_gate(kind)
        weighed = gate.weighed(msgspec.convert(MINIMAL.get(kind, {}), gate.settings))
        assert set(gate.settings.__struct_fields__) - set(weighed) == OTHER_WORDS.get(kind, set()), kind


def test_what_has_no_limit_of_its_own_is_held_where_it_may_let_more_pass() -> None:
    for kind, more, told in (
        ("champion", {"seed": 7}, "seed 0 → 7"),
        ("champion", {"resamples": 500}, "resamples 1000 → 500"),
        ("champion", {"test": "by_metric"}, "test paired_bootstrap → by_metric"),
        ("slices", {"seed": 1}, "seed 0 → 1"),
        ("latency", {"warmup": 150}, "warmup 20 → 150"),
        ("latency", {"requests": 30}, "requests 200 → 30"),
        ("pytest", {"timeout_s": 9000.0}, "timeout_s 600.0 → 9000.0"),
        ("python", {"memory_mb": 99999}, "memory_mb 8192 → 99999"),
        ("command", {"run": "false"}, "run true → false"),
    ):
        before, after = _entry(**{kind: MINIMAL[kind]}), _entry(**{kind: {**MINIMAL[kind], **more}})
        assert told in compare_gates([_check(before)], (after,)).loss, (kind, more)
    for kind, more in (
        ("champion", {"resamples": 5000}),
        ("champion", {"test": "paired_bootstrap"}),
        ("latency", {"requests": 900, "warmup": 1}),
        ("pytest", {"timeout_s": 9.0, "files": ["cases.csv"]}),
    ):
        before, after = _entry(**{kind: MINIMAL[kind]}), _entry(**{kind: {**MINIMAL[kind], **more}})
        assert compare_gates([_check(before)], (after,)).loss == "", (kind, more)
        bound = compare_gates([_check(after)], (before,)).loss
        assert ("files" in bound) == ("files" in more), bound


def test_of_a_kind_that_says_nothing_any_other_value_may_ask_for_less() -> None:
    class Own(msgspec.Struct):
        min_share: float = 0.5
        cut: float = 0.9

    weighed = weigh_by_name(Own())
    assert not asks_less(weighed["min_share"], 0.6) and asks_less(weighed["min_share"], 0.4)
    assert asks_less(weighed["cut"], 0.95) and not asks_less(weighed["cut"], 0.9)
