"""What to do about an endpoint, as a pure function of what was seen, what happened before and the policy.

No store, clock or model is touched here: `decide` gets the time as a value. The controller observes and carries out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from penstock.base.numbers import counted
from penstock.flows.production.controlling.merits import merits_of
from penstock.flows.production.progress import Tally, progress_of
from penstock.monitoring.alerts import Alert, Subject
from penstock.monitoring.findings import OF_FEATURES, OF_THE_DATA, Finding
from penstock.monitoring.settings import EndpointSettings
from penstock.monitoring.windows import BATCH
from penstock.serving.deployments import Revision

BREACHED = "PenstockGuardrailBreached"
NOT_ROLLED_BACK = "PenstockNotRolledBack"
HELD = "PenstockRolloutHeld"
FAILED = "PenstockActionFailed"
NOT_JUDGED = "PenstockEndpointNotJudged"
RECENT = ("errors", "latency", "outputs", *OF_THE_DATA)
"""Kinds that are judged on the newest traffic; labels are of predictions of long ago."""


@dataclass(frozen=True)
class Look:
    """An endpoint at a moment. `step` is the canary's traffic since the current revision began."""

    revision: Revision
    findings: tuple[Finding, ...]
    step: Tally
    time_ms: int

    @property
    def breaches(self) -> tuple[Finding, ...]:
        """The findings that are over their limit."""
        return tuple(finding for finding in self.findings if finding.breached)


@dataclass(frozen=True)
class History:
    """What happened before: revisions, newest first; versions that were rolled back; open alerts."""

    revisions: tuple[Revision, ...]
    rolled_back: frozenset[tuple[str, int]] = frozenset()
    alerts: tuple[Alert, ...] = ()


@dataclass(frozen=True)
class RollBack:
    """Serve `model`/`stable` alone, not those `passed` over, each with why, because of `findings`; `out` is what goes."""

    model: str
    stable: int
    out: int
    findings: tuple[Finding, ...]
    reason: str
    passed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Advance:
    """Give the canary `percent` of the traffic; 100 makes it stable."""

    version: int
    percent: float
    reason: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Opening:
    """Something to tell that is no finding, with its event."""

    subject: Subject
    event: str
    summary: str
    cause: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Closing:
    """An open alert that is over, and why."""

    alert: Alert
    reason: str


@dataclass(frozen=True)
class Decision:
    """What is to be written and done. `retrain` are the findings that a retraining would answer."""

    news: tuple[Finding, ...] = ()
    marks: tuple[tuple[int, int | None], ...] = ()
    closings: tuple[Closing, ...] = ()
    openings: tuple[Opening, ...] = ()
    action: RollBack | Advance | None = None
    retrain: tuple[Finding, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.news or self.marks or self.closings or self.openings or self.action)


def decide(look: Look, history: History, settings: EndpointSettings) -> Decision:
    """Return what is to be done about an endpoint under a policy.

    A rollback goes before everything else. A canary advances only when nothing speaks against it and every
    guardrail on it was judged. What is wanted and not done is opened as an alert with its reason.
    """
    news, marks, closings = _compare(look, history.alerts, settings)
    action, openings = _act(look, history, settings)
    wanted = {one.subject.fingerprint for one in openings}
    known = {one.fingerprint for one in history.alerts}
    ended = {NOT_ROLLED_BACK, HELD} if action is not None else {NOT_ROLLED_BACK, HELD, FAILED}
    over = [
        Closing(one, "it is not so any more")
        for one in history.alerts
        if one.name in ended and one.fingerprint not in wanted
    ]
    retrain: tuple[Finding, ...] = ()
    if action is None and look.revision.canary is None and settings.retrain is not None:
        retrain = tuple(one for one in look.breaches if one.kind in settings.retrain.causes)
    return Decision(
        news=news,
        marks=marks,
        closings=(*closings, *over),
        openings=tuple(one for one in openings if one.subject.fingerprint not in known),
        action=action,
        retrain=retrain,
    )


def subject_of(finding: Finding) -> Subject:
    """Return what the alert about a breach is about: the same guardrail on the same version and route."""
    return Subject(
        name=BREACHED,
        endpoint=finding.endpoint,
        labels={
            "kind": finding.kind,
            "name": finding.name,
            "route": finding.route,
            "version": str(finding.version),
        },
    )


def evidence_of(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as JSON for an event."""
    decoded: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(list(findings)))
    return decoded


def _compare(
    look: Look, alerts: tuple[Alert, ...], settings: EndpointSettings
) -> tuple[tuple[Finding, ...], tuple[tuple[int, int | None], ...], tuple[Closing, ...]]:
    """Compare what is breached with what was told: what is new, what is well again, what is over."""
    told = {one.fingerprint: one for one in alerts if one.name == BREACHED}
    breached = {subject_of(one).fingerprint: one for one in reversed(look.breaches)}
    news = tuple(one for key, one in reversed(breached.items()) if key not in told)
    marks: list[tuple[int, int | None]] = []
    closings: list[Closing] = []
    quiet_ms = 1000 * settings.monitor.resolve_windows * settings.monitor.window_s
    for key, alert in told.items():
        if key in breached:
            if alert.clean_ms is not None:
                marks.append((alert.id, None))
            continue
        gone = _gone(look, alert)
        if gone:
            closings.append(Closing(alert, gone))
        elif _is_near(look, alert):
            if alert.clean_ms is not None:
                marks.append((alert.id, None))
        elif _holds(look, alert):
            if alert.clean_ms is None:
                marks.append((alert.id, look.time_ms))
            elif look.time_ms - alert.clean_ms >= quiet_ms and _is_all_new(look, alert):
                closings.append(Closing(alert, "the guardrail holds again"))
    return news, tuple(marks), tuple(closings)


def _gone(look: Look, alert: Alert) -> str:
    """Say why an alert has lost what it was about; empty when it has not."""
    route, version = alert.labels.get("route"), alert.labels.get("version")
    canary = look.revision.canary
    stable = look.revision.stable
    serving = {"stable": stable, BATCH: stable, "canary": canary.version if canary else None}
    if str(serving.get(str(route))) != version:
        return f"version {version} is not {route} any more"
    if alert.labels.get("kind") == "load" and not any(one.kind == "load" for one in look.findings):
        return "no serve process says so any more"
    if alert.labels.get("kind") == "outputs":
        return ""
    if not any(one.kind == alert.labels.get("kind") for one in look.findings):
        return "the policy has no such guardrail any more"
    return ""


def _holds(look: Look, alert: Alert) -> bool:
    """Whether a guardrail was judged and holds; of drift only the worst features are told.

    Where no answer is bad there is no finding of outputs, but then traffic there must be.
    """
    if alert.labels.get("kind") == "outputs":
        on_route = [one for one in look.findings if one.route == alert.labels.get("route")]
        return not any(one.unjudged == "no_traffic" for one in on_route)
    same = [
        one
        for one in look.findings
        if (one.kind, one.route) == (alert.labels.get("kind"), alert.labels.get("route"))
        and (one.kind in OF_FEATURES or one.name == alert.labels.get("name"))
    ]
    if any(one.name == alert.labels.get("name") and one.unjudged is not None for one in same):
        return False
    # where one slice has too few labels the others are judged all the same
    judged = [one for one in same if one.kind != "slices" or one.unjudged is None]
    return bool(judged) and all(one.unjudged is None for one in judged)


def _is_near(look: Look, alert: Alert) -> bool:
    """Whether what an alert tells of holds so narrowly that the next look may breach it again."""
    keys = ("kind", "name", "route")
    same = [one for one in look.findings if all(getattr(one, key) == alert.labels.get(key) for key in keys)]
    return any(one.near or one.is_inconclusive for one in same)


def _is_all_new(look: Look, alert: Alert) -> bool:
    """Whether all that is judged now came after the guardrail began to hold: nothing of the breach is in it."""
    kind, route = alert.labels.get("kind"), alert.labels.get("route")
    if kind not in RECENT:
        return True
    starts = [one.start_s for one in look.findings if (one.kind, one.route) == (kind, route)]
    return all(1000 * (start_s + 1) > (alert.clean_ms or 0) for start_s in starts)


def _act(
    look: Look, history: History, settings: EndpointSettings
) -> tuple[RollBack | Advance | None, list[Opening]]:
    wanting = [one for one in look.breaches if calls_for_rollback(look, one, settings)]
    canary = look.revision.canary
    if canary is not None:
        against = [one for one in wanting if one.route == "canary"]
        if against:
            first = against[0]
            reason = f"canary breached its {first.kind} guardrail: {first.sentence}"
            back = RollBack(look.revision.model, look.revision.stable, canary.version, tuple(wanting), reason)
            return back, []
        openings = _not_done(look, wanting, *_why_canary_first(look))
        advance, held = _grow(look, settings)
        return (advance, openings) if advance else (None, openings + held)
    if not wanting:
        return None, []
    target, code, why = _earlier(look, history, settings)
    if target is None:
        return None, _not_done(look, wanting, code, why)
    reason = f"stable breached its {wanting[0].kind} guardrail: {wanting[0].sentence}"
    return RollBack(target.model, target.stable, look.revision.stable, tuple(wanting), reason), []


def calls_for_rollback(look: Look, finding: Finding, settings: EndpointSettings) -> bool:
    """Whether a breach is the model's fault and an earlier state is the answer.

    On the stable route, what a retraining answers is not rolled back, and drift is the data's; so is
    a canary's drift that stable shows too.
    """
    if finding.route == BATCH:
        return False  # a table that somebody has scored says nothing of what clients get
    if finding.action is not None:
        return finding.action == "rollback"
    if "rollback" not in settings.on_breach:
        return False
    if finding.route == "canary":
        return finding.kind not in OF_THE_DATA or not any(
            other.route == "stable" and other.kind == finding.kind and other.name == finding.name
            for other in look.breaches
        )
    answered = settings.retrain.causes if settings.retrain else ()
    return finding.kind not in OF_THE_DATA and finding.kind not in answered


def _earlier(look: Look, history: History, settings: EndpointSettings) -> tuple[Revision | None, str, str]:
    """Return the revision to go back to; else None with the reason, as a code and in words."""
    now = (look.revision.model, look.revision.stable)
    run = [look.revision]
    earlier: list[Revision] = []
    for old in history.revisions:
        if old.number >= look.revision.number:
            continue
        if not earlier and (old.model, old.stable) == now:
            run.append(old)
        else:
            earlier.append(old)
    began = run[-1]
    ref = f"{now[0]}/{now[1]}"
    if began.kind == "rolled_back":
        return None, "came_by_rollback", f"{ref} itself came by a rollback"
    others = [one for one in earlier if (one.model, one.stable) != now]
    if not others:
        return None, "nothing_before", "there is no earlier version to go back to"
    age_s = (look.time_ms - began.created_ms) / 1000
    if age_s > settings.rollout.probation_s:
        return None, "long_stable", f"{ref} has been stable for {_span(age_s)}: it is not what changed"
    target = next((one for one in others if (one.model, one.stable) not in history.rolled_back), None)
    if target is None:
        return None, "all_rolled_back", "every earlier version was rolled back itself"
    return target, "", ""


def _why_canary_first(look: Look) -> tuple[str, str]:
    """Say why the stable version is not taken back while there is a canary."""
    if look.revision.steps:
        return "canary_under_way", "a canary is under way, and is decided first"
    return (
        "people_decide",
        "its canary stays until somebody decides, and until then the controller takes nothing back: "
        f"penstock rollback {shlex.quote(look.revision.endpoint)} takes the canary out, and the stable version at the next look",
    )


def _not_done(look: Look, wanting: list[Finding], code: str, why: str) -> list[Opening]:
    if not wanting:
        return []
    first = wanting[0]
    labels = {"version": str(first.version), "route": first.route, "reason": code}
    return [
        Opening(
            Subject(name=NOT_ROLLED_BACK, endpoint=look.revision.endpoint, labels=labels),
            "endpoint.not_rolled_back",
            f"{look.revision.endpoint} is not rolled back: {why} ({first.sentence})",
            {"reason": code, "findings": evidence_of(wanting), "seen_revision": look.revision.number},
        )
    ]


def _grow(look: Look, settings: EndpointSettings) -> tuple[Advance | None, list[Opening]]:
    """Give a canary its next share; or say why it is held, once that is worth telling."""
    progress = progress_of(look.revision, look.step, look.findings, settings, look.time_ms)
    if progress is None or progress.next_percent is None or look.revision.canary is None:
        return None, []
    version = look.revision.canary.version
    if progress.is_ready:
        on_canary = [one for one in look.findings if one.route == "canary"]
        evidence = {
            "requests": look.step.request_count,
            "labels": look.step.label_count,
            "findings": evidence_of(on_canary),
        }
        reason = merits_of(look.revision, look.step, on_canary, progress)
        return Advance(version, progress.next_percent, reason, evidence), []
    if not (progress.blocked or progress.age_s > settings.rollout.deadline_s):
        return None, []
    labels = {"version": str(version), "revision": str(look.revision.number)}
    return None, [
        Opening(
            Subject(name=HELD, endpoint=look.revision.endpoint, labels=labels),
            "rollout.held",
            f"{look.revision.endpoint} holds {look.revision.model}/{version} at {progress.percent:g} %: "
            f"{'; '.join(progress.blocked) or progress.sentence}",
            {"blocked": list(progress.blocked), "waits_for": list(progress.waits_for)},
        )
    ]


def _span(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            return counted(int(seconds // size), unit)
    return f"{seconds:.0f} seconds"
