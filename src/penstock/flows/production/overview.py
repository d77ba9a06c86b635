"""All endpoints at a glance: what they serve, how they are, what was found. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import msgspec

from penstock.base.clock import format_ms, now_ms
from penstock.base.numbers import counted
from penstock.base.store.outside import words_outside
from penstock.flows.production.controlling.deciding import calls_for_rollback
from penstock.flows.production.controlling.lately import told_lately
from penstock.flows.production.controlling.opened import OpenBreach, view_open
from penstock.flows.production.controlling.retraining_view import RetrainingView, view_retrainings
from penstock.flows.production.controlling.untold import list_untold
from penstock.flows.production.leading import why_nobody_acts
from penstock.flows.production.live.undelivered import Undelivered, list_undelivered
from penstock.flows.production.policing import compare_file
from penstock.flows.production.traffic.rollouts import RolloutView, list_undone, view_rollout
from penstock.flows.production.traffic.routes import RouteView, view_route
from penstock.flows.production.traffic.straying import notes_of
from penstock.flows.production.unwritable import why_unwritable
from penstock.flows.production.watching import Observation, observe
from penstock.monitoring.alerts import list_open_alerts
from penstock.monitoring.findings import Finding, Unjudged
from penstock.monitoring.refusals import RECENT_S, Refused, list_refused, refused_sentence
from penstock.monitoring.windows import BATCH
from penstock.project.project import Project
from penstock.serving.deployments import Revision, get_revision, list_endpoints
from penstock.serving.predictions.waiting import Waiting, tell_waiting
from penstock.serving.workers import (
    NOT_LOADED_STATES,
    ToldOf,
    Worker,
    last_heard_ms,
    list_told_endpoints,
    list_workers,
    states_by_place,
)

Health = Literal["healthy", "watching", "unjudged", "idle", "breached", "refusing", "down"]
HEALTHS: tuple[Health, ...] = ("breached", "down", "refusing", "unjudged", "idle", "watching", "healthy")
"""The worst first."""
FRESH_MS = 10_000
"""So old may be what the controller found for a page to show it in place of a look of its own."""
SLOW_MS = 120_000
"""So old may it be while that controller is at work: a look beside it would make it slower still, and its age is told."""
NO_LOOKS: Mapping[str, Observation] = MappingProxyType({})


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail's finding. `state` is breached, held or unjudged; `unjudged` says why not. `action` is what a breach calls
    for, `end_s` when the traffic ended that was judged, `is_inconclusive` that quality is beyond its limit, not surely so yet.
    """

    kind: str
    name: str
    route: str
    breached: bool
    sentence: str
    state: Literal["breached", "held", "unjudged"] = "held"
    unjudged: Unjudged | None = None
    action: Literal["alert", "rollback"] = "alert"
    end_s: int = 0
    is_inconclusive: bool = False


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint now. `servers` are the places where it is served, `ADDRESS on HOST`, with their state; `shadow_failures` say why shadows fail, by
    process, `server_notes` what else they tell of what they serve. `lost_servers` are places where one served it and ended without a word, by when it was seen last.

    `health` is `healthy` only when every guardrail was judged and holds; `health_reason` says why it is
    not. `policy` is the number of the policy that watches it, 0 for none. `looked_ms` is when it was so, `last_traffic_s` when the newest window with
    traffic ended. `refused` are the requests of the last hour that reached no model, since they were not right.
    `undone` says what is wanted and not done, and why: a rollback, a canary's next share. `nobody_acts` says that no
    controller runs, or one that has not looked for long. `down_ms` is since when nothing answers for it, where that is so and known.
    `notes` say what elsewhere does not agree with what it serves: the alias it is declared with, a rollback on another endpoint,
    a file of settings that says otherwise, or does not name it.
    `open_breaches` are those that were told and are not over, whether they are judged now or not.
    `untold` says which webhooks do not take its alerts, since when and why.
    `undelivered` are calls of watched services that wait on this machine's disk. `retraining` is the one that runs,
    a version of one that waits to go out, or what keeps one from beginning.
    `labels` are those that wait for predictions which are not stored yet, and those that were given up.
    """

    name: str
    model: str
    revision: int
    health: Health
    reason: str
    since_ms: int
    routes: tuple[RouteView, ...]
    findings: tuple[FindingView, ...]
    servers: dict[str, str]
    lost_servers: dict[str, int] = {}
    shadow_failures: dict[str, str] = {}
    server_notes: dict[str, str] = {}
    policy: int = 0
    health_reason: str = ""
    rollout: RolloutView | None = None
    problem: str = ""
    looked_ms: int = 0
    last_traffic_s: int | None = None
    refused: tuple[Refused, ...] = ()
    labels: Waiting = Waiting()
    undone: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    nobody_acts: str = ""
    down_ms: int | None = None
    untold: tuple[str, ...] = ()
    open_breaches: tuple[OpenBreach, ...] = ()
    undelivered: tuple[Undelivered, ...] = ()
    retraining: RetrainingView | None = None

    @property
    def refused_sentence(self) -> str:
        """Say how many requests were refused for a mistake of who asked, and why; empty without any."""
        return refused_sentence(self.refused)

    @property
    def is_silent(self) -> bool:
        """Whether it was a service of the user's own that answered for it, and that tells nothing any more."""
        return self.health == "down" and self.health_reason.startswith(SILENT)


SILENT = "the service that told of its calls is silent"
LOST_MS = 3_600_000
"""So long a serve process is told of that ended without a word."""
TOLD_MS = 60_000
"""So long after its last call a service's endpoint that no serve process answers for is not down."""


def latest_look(
    project: Project, revision: Revision, looks: Mapping[str, Observation] = NO_LOOKS, most_ms: int = FRESH_MS
) -> Observation:
    """Return what a look of the controller found at an endpoint, at most so old; without one, look.

    Raises:
        Corrupt: a window cannot be read.
    """
    known = looks.get(revision.endpoint)
    if (
        known is not None
        and abs(now_ms() - known.time_ms) <= most_ms
        and known.revision.number == revision.number
    ):
        return known
    return observe(project, revision.endpoint)


def overview(
    project: Project,
    looks: Mapping[str, Observation] = NO_LOOKS,
    *,
    only: str | None = None,
    most_ms: int = FRESH_MS,
) -> list[EndpointView]:
    """Return every endpoint, by name; one that cannot be judged says so.

    Args:
        only: the endpoint that is meant; all without it.
        looks: what the controller found at its last looks; those that are at most `most_ms` old save a look each.
    """
    with project.database.read() as connection:
        revisions = [one for one in list_endpoints(connection) if only in (None, one.endpoint)]
        known = list_workers(connection, now_ms() - LOST_MS)
        told = list_told_endpoints(connection)
        heard = last_heard_ms(connection)
        refused = list_refused(connection, now_ms() // 1000 - RECENT_S)
        labels = tell_waiting(connection, now_ms())
        nobody_acts = why_nobody_acts(connection, now_ms())
        untold = list_untold(connection)
        alerts = list_open_alerts(connection, only)
        notes_by = notes_of(connection, revisions)
        lately = told_lately(connection, [one.endpoint for one in revisions], now_ms())
    workers = [one for one in known if one.is_alive(now_ms())]
    filed = compare_file(project) if project.settings_problem is None else {}
    undelivered = list_undelivered(project.home)
    retrainings = view_retrainings(project, [one.endpoint for one in revisions])
    found = []
    for revision in revisions:
        states = [(worker, worker.state_of(revision.endpoint, revision.number)) for worker in workers]
        servers = states_by_place(workers, revision.endpoint, revision.number)
        told_of = [one for one in alerts if one.endpoint == revision.endpoint]
        try:
            seen = latest_look(project, revision, looks, most_ms)
            view = _view(seen, servers, told.get(revision.endpoint), nobody_acts)
            lost = _lost(known, {one.place for one in workers}, revision.endpoint)
            opened = view_open(told_of, seen.findings)
            view = msgspec.structs.replace(view, lost_servers=lost, open_breaches=opened)
            if view.health == "down" and not servers and (why := why_unwritable(project)):
                # processes that answer cannot say so, which is no reason to say that they ended
                words = f"what runs is not known: {why}"
                view = msgspec.structs.replace(view, health="unjudged", health_reason=words, lost_servers={})
        except Exception as error:  # noqa: BLE001  (one endpoint's damage must not hide the others)
            view = _unreadable(revision, servers, words_outside(error))
            opened = view_open(told_of, (), f"it cannot be judged: {view.problem}")
            view = msgspec.structs.replace(view, open_breaches=opened)
        notes = {
            f"{worker.place} ({worker.pid})": state.message
            for worker, state in states
            if state is not None and state.state == "ready" and state.message
        }
        found.append(
            msgspec.structs.replace(
                view,
                refused=refused.get(revision.endpoint, ()),
                labels=labels.get(revision.endpoint, Waiting()),
                nobody_acts=nobody_acts,
                untold=untold.get(revision.endpoint, ()),
                notes=(
                    *notes_by.get(revision.endpoint, ()),
                    *filter(None, [filed.get(revision.endpoint)]),
                    *lately.get(revision.endpoint, ()),
                ),
                undelivered=tuple(one for one in undelivered if one.endpoint == revision.endpoint),
                down_ms=_down_ms(view, heard, told),
                retraining=retrainings.get(revision.endpoint),
                **{"shadow_failures" if revision.shadows else "server_notes": notes},
            )
        )
    return found


def view_endpoint(project: Project, name: str) -> EndpointView:
    """Return one endpoint as `overview` does.

    Raises:
        NotFound: there is none.
    """
    with project.database.read() as connection:
        get_revision(connection, name)
    return next(one for one in overview(project, only=name))


def _down_ms(view: EndpointView, heard: Mapping[str, int], told: Mapping[str, ToldOf]) -> int | None:
    """Return when an endpoint was last answered for, of one that nothing answers for now; None where nobody knows."""
    if view.health != "down" or view.servers:
        return None
    last = told.get(view.name)
    found = [min(one, now_ms()) for one in (heard.get(view.name), last and last.time_ms) if one]
    return max(found, default=None)


def _lost(workers: Sequence[Worker], alive: Collection[str], endpoint: str) -> dict[str, int]:
    """Return where serve processes of an endpoint were lost and none answers now, by when each was seen last."""
    return {
        one.place: one.seen_ms
        for one in workers
        if one.place not in alive and any(said.endpoint == endpoint for said in one.revisions)
    }


def _unreadable(revision: Revision, servers: dict[str, str], problem: str) -> EndpointView:
    return EndpointView(
        name=revision.endpoint,
        model=revision.model,
        revision=revision.number,
        health="unjudged",
        health_reason=f"it cannot be judged: {problem}",
        reason=revision.reason,
        since_ms=revision.created_ms,
        routes=(),
        findings=(),
        servers=servers,
        problem=problem,
    )


def _view(seen: Observation, servers: dict[str, str], told: ToldOf | None, nobody_acts: str) -> EndpointView:
    revision = seen.revision
    canary = revision.canary
    rest = 100 - (canary.percent if canary else 0)
    routes = [view_route(seen, revision.stable, rest, seen.stable)]
    if canary is not None and seen.canary is not None:
        routes.append(view_route(seen, canary.version, canary.percent, seen.canary))
    if seen.batch is not None:
        routes.append(view_route(seen, revision.stable, 0, seen.batch))
    health, why = _health(seen, servers, told)
    undone = list_undone(seen)
    return EndpointView(
        name=seen.endpoint,
        model=revision.model,
        revision=revision.number,
        health=health,
        health_reason=why,
        reason=revision.reason,
        since_ms=revision.created_ms,
        routes=tuple(routes),
        findings=tuple(
            FindingView(
                kind=one.kind,
                name=one.name,
                route=one.route,
                breached=one.breached,
                sentence=one.sentence,
                state=one.state,
                unjudged=one.unjudged,
                action="rollback" if calls_for_rollback(seen.look, one, seen.settings) else "alert",
                end_s=one.end_s,
                is_inconclusive=one.is_inconclusive,
            )
            for one in seen.findings
        ),
        servers=servers,
        policy=seen.policy.number,
        rollout=view_rollout(seen, undone, nobody_acts),
        problem="; ".join(seen.problems),
        undone=tuple(one.summary for one in undone),
        looked_ms=seen.time_ms,
        last_traffic_s=max(
            (
                one.last_s
                for one in (seen.stable, seen.canary, seen.batch)
                if one is not None and one.last_s is not None
            ),
            default=None,
        ),
    )


def _health(seen: Observation, servers: dict[str, str], told: ToldOf | None) -> tuple[Health, str]:
    """Return the state of an endpoint and, unless it is healthy, why it is so.

    Args:
        told: when a service of the user's own, or a batch job, told of its calls last.
    """
    if not servers and told is None:
        return "down", "no serve process is running, and no service tells of calls"
    if not servers and told is not None and not told.is_batch and told.time_ms <= now_ms() - TOLD_MS:
        since = format_ms(told.time_ms)
        return (
            "down",
            f"{SILENT} since {since}: look whether it still runs and reaches the store or the server",
        )
    if servers and all(state in NOT_LOADED_STATES for state in servers.values()):
        return "down", "no serve process could load it"
    if seen.breaches:
        return "breached", seen.breaches[0].sentence
    if seen.refusing:
        return "refusing", seen.refusing
    if not seen.policy.number:
        mend = f"write endpoints.{seen.endpoint} into penstock.yaml, then penstock endpoint apply"
        return "unjudged", f"no policy watches it: {mend}"
    if not seen.settings.guardrails:
        return "unjudged", "its policy has no guardrail"
    if seen.problems:
        return "unjudged", seen.problems[0]
    batch = seen.batch.recent if seen.batch is not None and seen.stable.recent is None else None
    unjudged = [
        one for one in seen.findings if one.unjudged is not None and (batch is None or one.route == BATCH)
    ]
    lasting = [one for one in unjudged if not one.is_waiting]
    if lasting:
        return "unjudged", lasting[0].sentence
    if servers and "ready" not in servers.values():
        return "unjudged", f"no serve process says that revision {seen.revision.number} is ready"
    if beyond := [one for one in seen.findings if one.is_inconclusive]:
        return "watching", _beyond(beyond)
    return _quietly(seen, unjudged, is_batch=batch is not None)


def _quietly(seen: Observation, unjudged: Sequence[Finding], *, is_batch: bool) -> tuple[Health, str]:
    """Return the state of an endpoint that nothing is said against."""
    monitor, last_s = seen.settings.monitor, seen.stable.heard_s
    fresh_s = seen.time_ms // 1000 - (monitor.windows + 1) * monitor.window_s
    if seen.stable.recent is None and not is_batch and (last_s is None or last_s < fresh_s):
        return "idle", "no traffic yet" if last_s is None else f"no traffic since {format_ms(last_s * 1000)}"
    if unjudged:
        return "watching", unjudged[0].sentence
    return "healthy", ""


def _beyond(findings: Sequence[Finding]) -> str:
    verb, whose = ("is", "its limit") if len(findings) == 1 else ("are", "their limits")
    count = counted(len(findings), "guardrail")
    return f"{count} {verb} beyond {whose} and not surely so yet: {findings[0].sentence}"
