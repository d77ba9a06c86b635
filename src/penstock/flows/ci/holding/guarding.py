"""What endpoints are guarded by less than before: guardrails, how they are watched, what a breach does, how a canary grows, who
else may answer, what is kept of requests, and what a finding begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from penstock.monitoring.settings import EndpointSettings, GuardrailEntry
from penstock.registry.gates.asking import Looser, Weighed, asks_less

NEEDED = frozenset({"min_rows", "min_labels"})
"""What has to be there before a guardrail is judged: more of it is judged less often."""
LIMITS: Mapping[str, Looser] = {
    "p99_ms": "higher",
    "p95_ms": "higher",
    "resolve_below": "higher",
    "min": "lower",
    "most": "lower",
    "max_rows": "lower",
}
"""Settings of guardrails that are not called like an upper limit, and how each lets more pass."""
WATCHED: Mapping[str, Looser] = {
    "window_s": "higher",
    "windows": "higher",
    "flush_s": "higher",
    "reference": "any",
    "feature_ratio": "lower",
    "classes": "any",
    "positive": "any",
    "nonfinite_max_ratio": "higher",
    "resolve_windows": "lower",
    "slices": "any",
}
GROWN: Mapping[str, Looser] = {
    "min_requests": "lower",
    "hold_s": "lower",
    "unjudged": {"hold": 0, "allow": 1},
    "alias": {"follow": 0, "stay": 1},
    "deadline_s": "higher",
    "probation_s": "lower",
}


OPENED: Mapping[str, Looser] = {"other_versions": "higher"}
"""Settings of traffic by which more versions answer; shadows answer nobody, and the rest is how requests are taken."""


def list_unguarded(name: str, before: EndpointSettings, after: EndpointSettings) -> Iterator[str]:
    """Yield, in words, what an endpoint lets pass that it did not."""
    if before.model != after.model:
        yield f"{name} answers with {after.model}, before {before.model}"
    yield from _unguarded(name, before, after)
    gone = [one for one in before.on_breach if one not in after.on_breach]
    if gone:
        yield f"on_breach of {name} is no longer {', '.join(gone)}"
    for words in _looser(WATCHED, before.monitor, after.monitor):
        yield f"{name} is watched less: {words}"
    yield from list_opened(name, before, after)
    for words in _looser(GROWN, before.rollout, after.rollout):
        yield f"the rollout of {name} asks for less: {words}"
    is_other = before.rollout.min_labels != after.rollout.min_labels
    if is_other and before.required_labels > after.required_labels:
        yield f"the rollout of {name} asks for less: labels {before.required_labels} → {after.required_labels}"
    if len(after.rollout.steps) < len(before.rollout.steps):
        yield f"the rollout of {name} has fewer steps: {_steps(before)} → {_steps(after)}"


def list_opened(name: str, before: EndpointSettings, after: EndpointSettings) -> Iterator[str]:
    """Yield, in words, who else answers, what is kept of requests and was not, and what a finding begins otherwise."""
    for words in _looser(OPENED, before.traffic, after.traffic):
        yield f"{name} answers with more versions: {words}"
    rules = [one for one in after.traffic.rules if one not in before.traffic.rules]
    for rule in rules:
        yield f"a rule of {name} sends requests to version {rule.version} that went elsewhere"
    if not rules and [one for one in before.traffic.rules if one in after.traffic.rules] != list(
        after.traffic.rules
    ):
        yield f"the rules of {name} are asked in another order"
    kept = [one for one in before.monitor.redacted if one not in after.monitor.redacted]
    if kept and (after.monitor.payloads is not None or after.monitor.feature_ratio > 0):
        yield f"{name} keeps values that were redacted: {', '.join(kept)}"
    if after.retrain is None:
        return
    if before.retrain is None:
        yield f"a finding on {name} begins a command: `{after.retrain.command}`"
        return
    for key in ("command", "rev"):
        old, new = getattr(before.retrain, key), getattr(after.retrain, key)
        if old != new:
            yield f"a finding on {name} begins with another {key}: `{old}` → `{new}`"


def _unguarded(name: str, before: EndpointSettings, after: EndpointSettings) -> Iterator[str]:
    """Compare each guardrail with one of its kind: with the same one, first, then with one on the same, then with any."""
    left = list(after.guardrails)
    open_ends = []
    for entry in before.guardrails:
        if entry in left and _rolls_back(entry, before) <= _rolls_back(entry, after):
            left.remove(entry)
        else:
            open_ends.append(entry)
    for entry in open_ends:
        same = [one for one in left if one.kind == entry.kind]
        match = next((one for one in same if _about(one) == _about(entry)), next(iter(same), None))
        told = f"{entry.kind} {_about(entry)}".strip()
        if match is None:
            yield f"a guardrail of {name} was removed: {told}"
            continue
        left.remove(match)
        old, new = getattr(entry, entry.kind), getattr(match, entry.kind)
        words = list(_looser({key: _way(key) for key in old.__struct_fields__ if key != "action"}, old, new))
        if words:
            yield f"a guardrail of {name} lets more pass: {told} ({', '.join(words)})"
        if _rolls_back(entry, before) > _rolls_back(match, after):
            yield f"a guardrail of {name} no longer rolls back: {told}"


def _way(key: str) -> Looser:
    if key in LIMITS:
        return LIMITS[key]
    is_upper = key in NEEDED or key.startswith("max") or key.endswith("_max")
    return "higher" if is_upper else "any"


def _looser(ways: Mapping[str, Looser], old: Any, new: Any) -> Iterator[str]:
    for key, way in ways.items():
        before, after = getattr(old, key), getattr(new, key)
        is_looser = _lets_out(before, after) if key == "features" else asks_less(Weighed(before, way), after)
        if is_looser:
            yield f"{key} {_shown(before)} → {_shown(after)}"


def _lets_out(before: Any, after: Any) -> bool:
    """Say whether a feature that was looked at no longer is; `any` are all of them."""
    return after != "any" and (before == "any" or not set(before) <= set(after))


def _about(entry: GuardrailEntry) -> str:
    """Return what a guardrail is on, of those of its kind."""
    limit = getattr(entry, entry.kind)
    for key in ("metric", "column", "features"):
        value = getattr(limit, key, None)
        if value is not None and value != "any":
            return value if isinstance(value, str) else ", ".join(value)
    return ""


def _rolls_back(entry: GuardrailEntry, endpoint: EndpointSettings) -> bool:
    return entry.own_action == "rollback" or (entry.own_action is None and "rollback" in endpoint.on_breach)


def _steps(endpoint: EndpointSettings) -> str:
    return ", ".join(f"{step:g}" for step in endpoint.rollout.steps)


def _shown(value: Any) -> str:
    plain = msgspec.to_builtins(value)
    return (
        "–" if plain is None else plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    )
