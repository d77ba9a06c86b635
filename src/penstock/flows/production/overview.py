"""All endpoints at a glance: what they serve, how they are, what was found. Writes nothing."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from penstock.base.clock import now_ms
from penstock.flows.production.deploying import WORKER_ALIVE_MS
from penstock.flows.production.watching import Observation, observe
from penstock.monitoring.windows import Window
from penstock.project.project import Project
from penstock.serving.deployments import list_endpoints
from penstock.serving.workers import list_workers

Health = Literal["healthy", "breached", "idle", "down"]


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """Recent traffic of one route; times in milliseconds, ratios in [0, 1], None where unknown."""

    route: str
    version: str
    percent: float
    start_s: int | None = None
    end_s: int | None = None
    request_count: int = 0
    error_ratio: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    label_count: int = 0
    quality: dict[str, float] = {}


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """One guardrail's finding."""

    kind: str
    name: str
    route: str
    breached: bool
    sentence: str


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint now. `servers` are the serve processes with their state."""

    name: str
    model: str
    revision: int
    health: Health
    reason: str
    since_ms: int
    routes: tuple[RouteView, ...]
    findings: tuple[FindingView, ...]
    servers: dict[str, str]


def overview(project: Project) -> list[EndpointView]:
    """Return every endpoint, by name."""
    with project.database.read() as connection:
        names = [revision.endpoint for revision in list_endpoints(connection)]
        workers = list_workers(connection, now_ms() - WORKER_ALIVE_MS)
    found = []
    for name in names:
        seen = observe(project, name)
        states = {worker.url: worker.state_of(name, seen.revision.number) for worker in workers}
        servers = {url: state.state if state else "pending" for url, state in states.items()}
        found.append(_view(seen, servers))
    return found


def _view(seen: Observation, servers: dict[str, str]) -> EndpointView:
    revision = seen.revision
    canary = revision.canary
    routes = [
        _route(
            "stable", revision.model, revision.stable, 100 - (canary.percent if canary else 0), seen.stable
        )
    ]
    if canary is not None:
        routes.append(_route("canary", revision.model, canary.version, canary.percent, seen.canary))
    return EndpointView(
        name=seen.endpoint,
        model=revision.model,
        revision=revision.number,
        health=_health(seen, servers),
        reason=revision.reason,
        since_ms=revision.created_ms,
        routes=tuple(routes),
        findings=tuple(
            FindingView(
                kind=one.kind, name=one.name, route=one.route, breached=one.breached, sentence=one.sentence
            )
            for one in seen.findings
        ),
        servers=servers,
    )


def _health(seen: Observation, servers: dict[str, str]) -> Health:
    if not servers or all(state == "failed" for state in servers.values()):
        return "down"
    if seen.breaches:
        return "breached"
    return "healthy" if seen.stable is not None else "idle"


def _route(route: str, model: str, version: int, percent: float, window: Window | None) -> RouteView:
    base = RouteView(route=route, version=f"{model}/{version}", percent=percent)
    if window is None:
        return base
    quality = (
        {name: window.quality.metric(name)[0] for name in ("roc_auc", "brier", "accuracy")}
        if window.quality.label_count
        else {}
    )
    return msgspec.structs.replace(
        base,
        start_s=window.key.start_s,
        end_s=window.end_s,
        request_count=window.request_count,
        error_ratio=window.error_ratio,
        p50_ms=_milliseconds(window, 0.5),
        p99_ms=_milliseconds(window, 0.99),
        label_count=window.quality.label_count,
        quality={name: value for name, value in quality.items() if not math.isnan(value)},
    )


def _milliseconds(window: Window, rank: float) -> float | None:
    return window.quantile_s(rank) * 1000 if window.request_count else None
