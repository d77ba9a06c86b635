"""What the controller's last look at an endpoint found, as small values for whoever shows it: metrics.

Made from what was observed anyway; asking for it costs nothing. It keeps no sketch alive.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.flows.production.measuring import Measures
from penstock.flows.production.watching import Observation, Shared
from penstock.monitoring.alerts import Alert
from penstock.monitoring.findings import OF_FEATURES, Finding, Unjudged
from penstock.monitoring.guardrails.traffic import Traffic
from penstock.serving.deployments import Revision
from penstock.serving.predictions.waiting import Waiting

PENDING = "pending"
BEYOND = "beyond"
"""The state of a guardrail that holds only since its metric is not surely beyond its limit."""
SEVERITY = {"held": 0, "unjudged": 1, BEYOND: 2, "breached": 3}


@dataclass(frozen=True)
class GuardrailLook:
    """How a guardrail stands on a route. All of its features count as one: the worst is told.

    `reason` says why it was not judged; `observed` and `limit` are NaN where they are not known.
    """

    route: str
    version: int
    kind: str
    name: str
    state: str
    reason: Unjudged | None = None
    observed: float = math.nan
    limit: float = math.nan


@dataclass(frozen=True)
class OpenLook:
    """How many breaches of a guardrail on a route were told and are not over; all of its features count as one."""

    route: str
    version: str
    kind: str
    name: str
    count: int


@dataclass(frozen=True)
class RouteLook:
    """One route: the share in [0, 1] it gets, when its newest window ended (None without one), its measures."""

    route: str
    version: int
    share: float
    last_s: int | None
    measures: Measures


@dataclass(frozen=True)
class EndpointLook:
    """One endpoint at the time of a look.

    `rollbacks` counts them by who made them, `controller` or `person`, since the endpoint was made. `servers`
    counts the serve processes by what they said of the current revision, or `pending`. `labels` are those that wait
    for predictions which are not stored yet, and those that were given up.
    """

    endpoint: str
    time_ms: int
    model: str
    revision: int
    policy: int
    routes: tuple[RouteLook, ...]
    guardrails: tuple[GuardrailLook, ...]
    rollbacks: Mapping[str, int]
    servers: Mapping[str, int]
    alert_count: int
    problem_count: int
    open_breaches: tuple[OpenLook, ...] = ()
    labels: Waiting = field(default_factory=Waiting)


def look_of(seen: Observation, shared: Shared) -> EndpointLook:
    """Return what there is to show of an observation."""
    revision = seen.revision
    canary = revision.canary
    share = canary.percent / 100 if canary else 0.0
    routes = [_route(seen, seen.stable, 1 - share)]
    if seen.canary is not None:
        routes.append(_route(seen, seen.canary, share))
    if seen.batch is not None:
        routes.append(_route(seen, seen.batch, 0.0))
    states = [one.state_of(seen.endpoint, revision.number) for one in shared.workers]
    return EndpointLook(
        endpoint=seen.endpoint,
        time_ms=seen.time_ms,
        model=revision.model,
        revision=revision.number,
        policy=seen.policy.number,
        routes=tuple(routes),
        guardrails=_guardrails(seen.findings),
        rollbacks=_rollbacks(seen.history.revisions),
        servers=Counter(one.state if one else PENDING for one in states),
        alert_count=len(seen.history.alerts),
        problem_count=len(seen.problems),
        open_breaches=_open(seen.history.alerts),
        labels=shared.labels.get(seen.endpoint, Waiting()),
    )


def without_sketches(seen: Observation) -> Observation:
    """Return an observation that can be kept: its windows tell counts, latency and quality, and no features."""
    return replace(
        seen,
        stable=seen.stable.bare(),
        canary=seen.canary and seen.canary.bare(),
        batch=seen.batch and seen.batch.bare(),
    )


def _route(seen: Observation, traffic: Traffic, share: float) -> RouteLook:
    route = traffic.key.route
    measures = seen.measures.get(route, Measures())
    return RouteLook(route, traffic.key.version, share, traffic.last_s, measures)


def _guardrails(findings: Sequence[Finding]) -> tuple[GuardrailLook, ...]:
    """Return one line a guardrail and route; where several findings are of one, the worst."""
    found: dict[tuple[str, int, str, str], GuardrailLook] = {}
    for one in findings:
        name = _name_of(one.kind, one.name)
        key = (one.route, one.version, one.kind, name)
        known = found.get(key)
        state = BEYOND if one.is_inconclusive else one.state
        if known is None or SEVERITY[state] > SEVERITY[known.state]:
            found[key] = GuardrailLook(
                *key, state=state, reason=one.unjudged, observed=one.observed, limit=one.limit
            )
    return tuple(found[key] for key in sorted(found))


def _open(alerts: Sequence[Alert]) -> tuple[OpenLook, ...]:
    of = [one.labels for one in alerts if one.labels.get("kind")]
    counts = Counter(
        (
            one.get("route", ""),
            one.get("version", ""),
            one["kind"],
            _name_of(one["kind"], one.get("name", "")),
        )
        for one in of
    )
    return tuple(OpenLook(*key, count=counts[key]) for key in sorted(counts))


def _name_of(kind: str, name: str) -> str:
    """Return what a guardrail is called, whichever of its features is told of."""
    return "features" if kind in OF_FEATURES else name


def _rollbacks(revisions: Sequence[Revision]) -> dict[str, int]:
    by = Counter(
        "controller" if one.actor == "controller" else "person"
        for one in revisions
        if one.kind == "rolled_back"
    )
    return {who: by[who] for who in ("controller", "person")}
