"""What became of the gates between two states: what was removed, only warns or asks for less now, and what else changed.

A commit brings its own gates along, so that those it was judged by say nothing of whether they are the ones that were meant.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from penstock.registry.entities import CheckResult
from penstock.registry.gates.asking import asks_less, settings_of
from penstock.registry.gates.settings import GateEntry


@dataclass(frozen=True)
class GateChanges:
    """What gates lost against earlier ones, and what is asked otherwise: each by its name, in words."""

    removed: tuple[str, ...] = ()
    weakened: tuple[str, ...] = ()
    loosened: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def loss(self) -> str:
        """What a release has to be held for, in one sentence; empty where nothing was lost."""
        words = []
        if self.removed:
            verb = "gate was" if len(self.removed) == 1 else "gates were"
            words.append(f"{len(self.removed)} {verb} removed: {', '.join(self.removed)}")
        if self.weakened:
            words.append(f"no longer refuses, only warns: {', '.join(self.weakened)}")
        if self.loosened:
            words.append(f"lets more pass: {', '.join(self.loosened)}")
        return "; ".join(words)


def compare_gates(before: Sequence[CheckResult], after: Sequence[GateEntry]) -> GateChanges:
    """Compare the checks of a verdict with gates that are set: each with one of its kind, first with that of its name.

    Where several have the name, first with the one that asks the same.
    """
    left = list(after)
    removed, weakened, loosened, changed = [], [], [], []
    for check in sorted(before, key=lambda one: not any(_is_called(one, entry) for entry in after)):
        of_name = [one for one in left if _is_called(check, one)]
        match = next((one for one in of_name if not _differences(check, one)), None)
        match = match or next(iter(of_name), None)
        match = match or next((one for one in left if one.kind == check.kind), None)
        told = check.kind if check.name in ("", check.kind) else f"{check.kind} {check.name}"
        if match is None:
            if check.severity == "block":
                removed.append(told)
            continue
        left.remove(match)
        if check.severity == "block" and match.severity == "warn":
            weakened.append(told)
        elif check.severity == "block" and (words := _asked_less(check, match)):
            loosened.append(f"{told} ({words})")
        elif words := _differences(check, match):
            changed.append(f"{told}: {words}")
    return GateChanges(tuple(removed), tuple(weakened), tuple(loosened), tuple(changed))


def as_asked(entry: GateEntry) -> CheckResult:
    """Return a gate that is set as the check of a verdict, to compare others with it."""
    return CheckResult(
        kind=entry.kind,
        name=entry.gate.title(entry.settings),
        status="pass",
        severity=entry.severity,
        sentence="",
        asked=msgspec.json.decode(msgspec.json.encode(entry.written()[entry.kind])),
        waiver=entry.waiver,
    )


def _asked_less(check: CheckResult, entry: GateEntry) -> str:
    """Return which settings ask for less than they did, or may do so; empty for none, and where nothing tells what was asked."""
    old = settings_of(entry.gate.settings, check.asked)
    if old is None:
        return ""
    before, after = entry.gate.weighed(old), entry.gate.weighed(entry.settings)
    return ", ".join(
        f"{key} {_shown(one.value)} → {_shown(after[key].value)}"
        for key, one in before.items()
        if key in after and asks_less(one, after[key].value)
    )


def _is_called(check: CheckResult, entry: GateEntry) -> bool:
    return entry.kind == check.kind and entry.gate.title(entry.settings) == check.name


def _differences(check: CheckResult, entry: GateEntry) -> str:
    """Return what is asked otherwise, key by key."""
    asked = msgspec.json.decode(msgspec.json.encode(entry.written()[entry.kind]))
    words = []
    if isinstance(check.asked, dict) and isinstance(asked, dict):
        for key in sorted({*check.asked, *asked}):
            old, new = check.asked.get(key), asked.get(key)
            if old != new:
                words.append(f"{key} {_shown(old)} → {_shown(new)}")
    elif check.asked != asked:
        words.append(f"{_shown(check.asked)} → {_shown(asked)}")
    if entry.waiver is not None and entry.waiver != check.waiver:
        words.append(f"a waiver by {entry.waiver.by} until {entry.waiver.until}")
    return ", ".join(words)


def _shown(value: Any) -> str:
    return (
        "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
