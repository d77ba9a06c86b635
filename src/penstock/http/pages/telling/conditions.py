"""An endpoint as who is on call needs it: what is wrong, since when, what was done, what to type. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.base.store.events import Event
from penstock.flows.production.overview import EndpointView, FindingView
from penstock.http.pages.telling.states import State, state
from penstock.monitoring.alerts import Alert
from penstock.stats.metric_names import metric_of

DECISIONS = frozenset(
    {
        "endpoint.rolled_back",
        "endpoint.not_rolled_back",
        "endpoint.deployed",
        "endpoint.promoted",
        "endpoint.advanced",
        "endpoint.canary",
        "retrain.started",
        "retrain.finished",
        "retrain.failed",
        "retrain.hindered",
        "retrain.lost",
        "retrain.refused",
        "retrain.waiting",
        "retrain.nothing",
    }
)
TICK_MS = 10_000
"""So long before its alert may have been decided what was decided about a breach: both are written in one look."""
SINCE_WORDS = {
    "idle": "when the last traffic ended",
    "down": "when its last serve process was heard of",
    "silent": "when its service last told of calls",
}
AGED_MS = 120_000
"""What was judged on traffic that ended before that is not told as what is so now."""


@dataclass(frozen=True)
class Condition:
    """What is told of an endpoint. `done` are the newest decisions about it, newest first.

    `before` are those that are older than a breach, about which then nothing of `done` may be. `since_words` say what
    happened at `since_ms` where that is not plain.
    """

    view: EndpointView
    state: State
    wrong: str
    more: int
    since_ms: int | None
    traffic_ms: int | None
    is_old: bool
    done: tuple[Event, ...]
    command: str
    before: tuple[Event, ...] = ()
    since_words: str = ""

    @property
    def rank(self) -> tuple[int, str]:
        """The order in which endpoints are shown: what needs a person first."""
        order = ("bad", "warn", "past", "plain", "busy", "good")
        return order.index(self.state.tone), self.view.name


ROLLING = frozenset({"healthy", "watching", "idle"})
"""States beside which a rollout is what is told."""
QUIET = frozenset({"healthy", "watching", "idle", "unjudged"})
"""States that say nothing of an alert that is still open."""


def condition_of(
    view: EndpointView, alerts: Sequence[Alert], events: Sequence[Event], time_ms: int
) -> Condition:
    """Return what is told of an endpoint.

    Args:
        alerts: what is open on it.
        events: its own, newest first.
    """
    breached = [one for one in view.findings if one.breached]
    open_ones = [one for one in alerts if one.labels.get("kind") and one.clean_ms is None]
    still = open_ones if view.health in QUIET else []
    ended = [1000 * one.end_s for one in breached or view.findings if one.end_s]
    traffic_ms = max(ended, default=None)
    is_old = traffic_ms is not None and time_ms - traffic_ms > AGED_MS
    since_ms = min(one.starts_ms for one in still) if still else _since_ms(view, alerts)
    decided = _done(events)
    is_breach = bool(still) or (view.health == "breached" and bool(alerts))
    from_ms = since_ms - TICK_MS if is_breach and since_ms is not None else 0
    done = tuple(one for one in decided if one.time_ms >= from_ms)
    return Condition(
        view=view,
        state=state("breached", "warn") if still else _state(view, breached),
        wrong=_still_open(view, still) if still else _wrong(view, breached, open_ones),
        more=max(0, len(breached) - 1) if view.health == "breached" else max(0, len(still) - 1),
        since_ms=since_ms,
        traffic_ms=traffic_ms,
        is_old=is_old,
        done=done,
        before=decided[len(done) :],
        since_words="" if still else SINCE_WORDS.get("silent" if view.is_silent else view.health, ""),
        command=f"penstock monitor status {shlex.quote(view.name)}"
        if still
        else _command(view, breached, _nowhere_to_go(events)),
    )


def _wrong(view: EndpointView, breached: Sequence[FindingView], alerts: Sequence[Alert]) -> str:
    """Return why an endpoint is not healthy; of one that is down also what was wrong with its last traffic, or still is told."""
    if _is_held(view) and view.rollout is not None:
        return f"the rollout goes no further: {'; '.join(view.rollout.blocked)}"
    if view.health == "healthy":
        return ""
    if view.health == "down" and breached:
        return f"{view.health_reason}; its last traffic breached a limit: {breached[0].sentence}"
    if view.health in {"down", "refusing"} and alerts:
        more = f", and {len(alerts) - 1} more" if len(alerts) > 1 else ""
        return f"{view.health_reason}; the alert is still open: {alerts[0].summary}{more}"
    return view.health_reason


def _still_open(view: EndpointView, alerts: Sequence[Alert]) -> str:
    """Return what an open alert tells of an endpoint that is not judged now, and why it is not."""
    now = f"; now {view.health}: {view.health_reason}" if view.health_reason else f"; now {view.health}"
    return f"{alerts[0].summary}; the alert is still open{now}"


def _done(events: Sequence[Event]) -> tuple[Event, ...]:
    """Return the newest two decisions, and the newest rollback where it is not among them."""
    decided = [one for one in events if one.kind in DECISIONS]
    rolled_back = [one for one in decided[2:] if one.kind == "endpoint.rolled_back"]
    return (*decided[:2], *rolled_back[:1])


def because(event: Event) -> str:
    """Return the finding that a rollback was made for, empty where there is none."""
    found = event.cause.get("findings")
    if event.kind != "endpoint.rolled_back" or not isinstance(found, list):
        return ""
    breached = [one for one in found if isinstance(one, dict) and one.get("breached")]
    return str(breached[0].get("sentence", "")) if breached else ""


def best_known(view: EndpointView, quality: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return up to four live metrics: those that guardrails judge, then those most often asked for."""
    judged = [metric_of(one.name) for one in view.findings if one.kind == "quality"]
    order = dict.fromkeys((*judged, "roc_auc", "accuracy", "rmse", *sorted(quality)))
    return [(name, quality[name]) for name in order if name in quality][:4]


def _state(view: EndpointView, breached: Sequence[FindingView]) -> State:
    if view.health == "breached" and all(one.action == "alert" for one in breached):
        return state("breached", "warn")
    if _is_held(view):
        return state("held half-way")
    if view.rollout is not None and view.health in ROLLING:
        return state("shared by hand" if view.rollout.next_percent is None else "rolling out")
    return state(view.health)


def _is_held(view: EndpointView) -> bool:
    """Whether a rollout goes no further until somebody changes something, and nothing worse is so."""
    return (
        view.rollout is not None
        and view.rollout.next_percent is not None
        and bool(view.rollout.blocked)
        and view.health in {*ROLLING, "unjudged"}
    )


def _since_ms(view: EndpointView, alerts: Sequence[Alert]) -> int | None:
    """Return since when it is so: the oldest open alert, the newest traffic of one that is idle, the end of one that is down."""
    if view.health in {"breached", "unjudged"} and alerts:
        return min(one.starts_ms for one in alerts)
    if view.health == "healthy":
        return view.since_ms
    if view.health == "down":
        return view.down_ms
    if view.health == "idle" and view.last_traffic_s is not None:
        return 1000 * view.last_traffic_s
    return None


def _nowhere_to_go(events: Sequence[Event]) -> bool:
    """Whether the newest decision was not to roll back because no version is left to go back to."""
    decided = next((one for one in events if one.kind in DECISIONS), None)
    return (
        decided is not None
        and decided.kind == "endpoint.not_rolled_back"
        and decided.cause.get("reason") in {"nothing_before", "all_rolled_back"}
    )


def _command(view: EndpointView, breached: Sequence[FindingView], is_last: bool) -> str:
    """Return what to type next, empty where there is nothing to do.

    Args:
        is_last: whether a rollback would be refused, so that another version has to be found.
    """
    name = shlex.quote(view.name)
    if view.health == "down":
        if view.is_silent:
            return f"penstock monitor status {name}"
        return "penstock doctor" if view.servers else "penstock serve"
    if view.health == "breached":
        if any(one.action == "rollback" for one in breached):
            if is_last:
                return f"penstock model list {shlex.quote(view.model)}"
            return f"penstock rollback {name} --dry-run"
        return f"penstock monitor status {name}"
    if view.health == "refusing":
        return f"penstock endpoint show {name}"
    if _is_held(view):
        return f"penstock monitor status {name}"
    if view.rollout is not None and view.rollout.next_percent is None and view.health in ROLLING:
        canary = next((one.version for one in view.routes if one.route == "canary"), "")
        return f"penstock deploy {name} --model {shlex.quote(canary)}" if canary else ""
    if view.health == "unjudged":
        return f"penstock monitor status {name}" if view.policy else f"penstock endpoint apply {name}"
    return ""
