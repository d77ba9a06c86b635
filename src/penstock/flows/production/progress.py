"""How far a canary is on its way: what its step has seen, what it still waits for, what stands against it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.base.numbers import counted
from penstock.monitoring.findings import OF_THE_DATA, Finding
from penstock.monitoring.settings import EndpointSettings
from penstock.serving.deployments import Revision


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic of one route since a revision began."""

    request_count: int = 0
    error_count: int = 0
    row_count: int = 0
    label_count: int = 0


def _so_far(one: Finding) -> str:
    """Say of a slice what it has: others say it in their own lines."""
    return f" ({one.why_unjudged})" if one.kind == "slices" and one.why_unjudged else ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A canary's step. `next_percent` is None where nothing is planned: then people decide.

    `waits_for` goes away with more time, traffic or labels; `blocked` only when something is changed or
    comes to hold.
    """

    version: int
    percent: float
    next_percent: float | None
    age_s: float
    request_count: int
    label_count: int
    waits_for: tuple[str, ...]
    blocked: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        """Whether the next share may be given now."""
        return self.next_percent is not None and not self.waits_for and not self.blocked

    @property
    def then(self) -> str:
        """What it does next in words."""
        whole = self.next_percent is not None and self.next_percent >= 100
        return "becomes stable" if whole else f"advances to {self.next_percent or 0:g} %"

    @property
    def sentence(self) -> str:
        """The progress in words."""
        if self.next_percent is None:
            return f"stays at {self.percent:g} % until somebody decides: no further step is planned"
        if self.is_ready:
            return f"{self.then} at the controller's next look"
        if self.blocked:
            return f"is held at {self.percent:g} %: {'; '.join(self.blocked)}"
        return f"waits: {', '.join(self.waits_for)}; then it {self.then}"


def progress_of(
    revision: Revision,
    step: Tally,
    findings: Sequence[Finding],
    settings: EndpointSettings,
    time_ms: int,
) -> Progress | None:
    """Return how far the canary of a revision is; None without a canary.

    Args:
        step: the canary's traffic since this revision began, however slow it came.
    """
    canary, rollout = revision.canary, settings.rollout
    if canary is None:
        return None
    age_s = max(0.0, (time_ms - revision.created_ms) / 1000)
    waits: list[str] = []
    if step.request_count < rollout.min_requests:
        waits.append(f"{step.request_count} of {counted(rollout.min_requests, 'request')}")
    if step.label_count < settings.required_labels:
        waits.append(f"{step.label_count} of {counted(settings.required_labels, 'label')}")
    if age_s < rollout.hold_s:
        waits.append(f"{age_s:.0f} of {rollout.hold_s:g} s")
    on_canary = [one for one in findings if one.route == "canary"]
    blocked = [f"{one.kind} is breached" for one in on_canary if one.breached and one.kind not in OF_THE_DATA]
    waits += [
        f"{one.name} is worse than allowed, not surely so yet" for one in on_canary if one.is_inconclusive
    ]
    if rollout.unjudged == "hold":
        unjudged = [one for one in on_canary if one.unjudged is not None]
        told = {"quality": step.label_count < settings.required_labels}
        told |= dict.fromkeys(("errors", "latency"), step.request_count < rollout.min_requests)
        waits += [
            f"{one.kind} {one.name} not judged yet{_so_far(one)}"
            for one in unjudged
            if one.is_waiting and not told.get(one.kind)
        ]
        blocked += [f"{one.kind} is not judged: {one.sentence}" for one in unjudged if not one.is_waiting]
    return Progress(
        version=canary.version,
        percent=canary.percent,
        next_percent=revision.steps[0] if revision.steps else None,
        age_s=age_s,
        request_count=step.request_count,
        label_count=step.label_count,
        waits_for=tuple(dict.fromkeys(waits)),
        blocked=tuple(dict.fromkeys(blocked)),
    )
