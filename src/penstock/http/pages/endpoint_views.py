"""The page of one endpoint: what is wrong, its guardrails, its traffic over time, its revisions."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from penstock.base.clock import now_ms
from penstock.base.errors import NotFound, PenstockError
from penstock.base.store.events import list_events
from penstock.base.store.outside import told_outside
from penstock.flows.observing.drifting import DriftOverTime, view_drift
from penstock.flows.production.measuring import USUAL_METRICS
from penstock.flows.production.overview import (
    FRESH_MS,
    LOST_MS,
    SLOW_MS,
    EndpointView,
    latest_look,
    overview,
)
from penstock.flows.production.shadows import list_shadows
from penstock.flows.production.traffic.promoting import plan_promotion_of_canary
from penstock.flows.production.traffic.rolling_back import plan_rollback
from penstock.flows.production.windows import WindowView, view_windows
from penstock.http.caller import caller_of
from penstock.http.pages.decisions.offers import offer
from penstock.http.pages.drawing.charts import Chart, Frame, Limit, bar_chart, line_chart
from penstock.http.pages.drawing.drift import drift_rows
from penstock.http.pages.drawing.heat import heat_map
from penstock.http.pages.looks import Looks
from penstock.http.pages.queries import query_of
from penstock.http.pages.ranges import SPANS, chosen_range
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.conditions import condition_of
from penstock.http.pages.telling.formatting import milliseconds, number
from penstock.http.pages.telling.timeline import group_events
from penstock.monitoring.alerts import list_open_alerts
from penstock.monitoring.findings import Finding, list_findings
from penstock.monitoring.policies import PolicyStep, list_policy_steps, policy_or_none_yet
from penstock.monitoring.ruling import view_rules
from penstock.monitoring.settings import DriftLimit, EndpointSettings
from penstock.project.project import Project
from penstock.registry.states import list_barred
from penstock.registry.versions import load_versions
from penstock.serving.deployments import Revision, find_revision, get_revision, list_revisions
from penstock.serving.workers import list_workers

EVENTS = 60
BREACHES = 20
WINDOWS = 120
"""So many starts of windows are shown where the address names no time."""
MOST_WINDOWS = 1000
"""And so many where it does; the newest of them, which the page then says."""
DRIFT_ROWS = 30
"""So many measures of drift are told, the nearest to their limits; the page of drift has every feature."""
SOME_FEATURES = 40
OF_DRIFT = frozenset({"drift", "multivariate"})

Shown = TypeVar("Shown")


@dataclass
class Readable:
    """Reads what can be read of a page; what is damaged is told in words and does not hide the rest."""

    project: Project
    problems: list[str]

    def read(self, work: Callable[[sa.Connection], Shown]) -> Shown | None:
        """Return what is read, None instead of what is damaged."""
        try:
            with self.project.database.read() as connection:
                return work(connection)
        except PenstockError as error:
            self.problems.append(told_outside(error).message)
        except Exception as error:  # noqa: BLE001  (one row's damage must not hide the rest of the page)
            self.problems.append(f"{type(error).__name__}: {error}")
        return None


class EndpointPages:
    """Shows one endpoint."""

    def __init__(self, project: Project, looks: Looks, renderer: Renderer) -> None:
        self._project = project
        self._looks = looks
        self._renderer = renderer
        self._drift: dict[tuple[str, int, bool, int, int | None], tuple[int, DriftOverTime]] = {}

    def endpoint(self, request: Request) -> Response:
        """One endpoint: condition, guardrails, traffic, revisions, policies, events."""
        name = request.path_params["name"]
        query = query_of(request)
        span, chosen = query["span"] or "all", chosen_range(query)
        with self._project.database.read() as connection:
            revision = self._current(connection, name)
            alerts = list_open_alerts(connection, name)
            revisions = list_revisions(connection, name)
            events = list(reversed(list_events(connection, subject=f"endpoint:{name}", limit=EVENTS)))
            caller = caller_of(request.scope)
            decides = {
                model: caller.may(connection, "model", model, "admin")
                for model in {revision.model, *(one.model for one in revisions)}
            }
            workers = list_workers(connection, now_ms() - LOST_MS)
            out = list_barred(connection, revision.model)
            served = {(one.model, one.stable) for one in revisions}
            kept = {(one.model, one.number) for one in load_versions(connection, served)}
        goals = {one.number: _goal(one, revision, out, kept) for one in revisions}
        goals |= {
            one.number: "of another model"
            for one in revisions
            if goals[one.number] == "open" and decides[revision.model] and not decides[one.model]
        }
        time_ms = now_ms()
        workers = [
            one
            for one in workers
            if one.is_alive(time_ms) or any(said.endpoint == name for said in one.revisions)
        ]
        looks = self._looks.fresh(name)
        readable = Readable(self._project, [])
        policy = readable.read(lambda connection: policy_or_none_yet(connection, name, revision.model))
        steps = readable.read(lambda connection: list_policy_steps(connection, name))
        breaches = readable.read(
            lambda connection: list_findings(connection, name, breached=True, limit=BREACHES)
        )
        shadows = readable.read(lambda connection: list_shadows(connection, revision))
        seen = readable.read(lambda _connection: latest_look(self._project, revision, looks, SLOW_MS))
        judged = _judged(policy.settings if policy else None)
        since_s = now_ms() // 1000 - SPANS[span] if SPANS[span] else 0
        if chosen.is_set:
            span, since_s = "", chosen.since_s
        most = MOST_WINDOWS if chosen.is_set or SPANS[span] else WINDOWS
        windows = readable.read(
            lambda _connection: view_windows(
                self._project,
                name,
                limit=most + 1,
                since_s=since_s,
                before_s=chosen.until_s,
                metrics=judged or USUAL_METRICS,
            )
        )
        windows, is_cut = _newest(windows or [], most)
        own = looks if seen is None else {**looks, name: seen}
        view = next(iter(overview(self._project, own, only=name, most_ms=SLOW_MS)), None)
        findings = seen.findings if seen else ()
        metric, drift = _metric(judged, windows), drift_rows(findings)
        return self._renderer.page(
            "endpoint.html",
            revision=revision,
            condition=condition_of(view, alerts, events, now_ms()) if view else None,
            policy=policy,
            policies=steps or [],
            problems=list(dict.fromkeys(readable.problems)),
            view=view,
            to_roll_back=offer(lambda: self._plan_rollback(request, name)),
            to_promote=offer(lambda: plan_promotion_of_canary(self._project, name)),
            rules=view_rules(revision.model, policy.settings.traffic.rules) if policy else (),
            may=decides[revision.model],
            span=span,
            spans=SPANS,
            charts=_charts(windows, metric, revisions, findings, steps or []),
            numbers=bool(query["numbers"]),
            numbers_link=urlencode({**{key: value for key, value in query.items() if value}, "numbers": "1"}),
            windows=list(reversed(windows)),
            most_windows=most if is_cut else 0,
            guardrails=_guardrails(findings),
            drift=drift[:DRIFT_ROWS],
            untold=[one for one in findings if one.kind == "drift" and one.unjudged is not None],
            goals=goals,
            alerting=_alerting(view),
            drift_count=len(drift),
            is_judged=seen is not None,
            shadows=shadows or [],
            chosen=chosen,
            workers=[
                (one, one.state_of(name, revision.number), not one.is_alive(time_ms)) for one in workers
            ],
            alerts=alerts,
            breaches=breaches or [],
            revisions=revisions,
            rows=group_events(events),
        )

    def _plan_rollback(self, request: Request, name: str) -> None:
        """Plan what the button does: it may bring another model back, which who asks must be allowed."""
        model = plan_rollback(self._project, name).draft.model
        with self._project.database.read() as connection:
            caller_of(request.scope).require(connection, "model", model, "admin")

    def _current(self, connection: sa.Connection, name: str) -> Revision:
        """Return the current revision; of an endpoint that only `penstock.yaml` knows, tell how it begins."""
        revision = find_revision(connection, name)
        if revision is None and name in self._project.readable_settings.endpoints:
            raise NotFound(
                f"penstock.yaml names endpoint {name!r}, and no version was ever deployed to it",
                code="serving.endpoint_unknown",
                hint=f"penstock deploy {shlex.quote(name)}",
            )
        return revision or get_revision(connection, name)

    def drift(self, request: Request) -> Response:
        """The drift of every feature over time, of the stable version against its reference."""
        name = request.path_params["name"]
        query = query_of(request)
        chosen = chosen_range(query)
        with self._project.database.read() as connection:
            revision = get_revision(connection, name)
            policy = policy_or_none_yet(connection, name, revision.model)
            alerts = list_open_alerts(connection, name)
        limits = [one.drift.psi_max for one in policy.settings.guardrails if one.drift is not None]
        limit = min(limits) if limits else DriftLimit().psi_max
        is_all = bool(query["all"])
        number = query.number("version") or revision.stable
        key = (name, number, is_all, chosen.since_s, chosen.until_s)
        found = self._drift.get(key)
        if found is None or now_ms() - found[0] > FRESH_MS:
            seen = view_drift(
                self._project,
                name,
                number=number,
                most=None if is_all else SOME_FEATURES,
                since_s=chosen.since_s,
                until_s=chosen.until_s,
            )
            found = (now_ms(), seen)
            self._drift = {key: found}
        drift = found[1]
        over = [feature for feature, value in drift.newest.items() if value > limit]
        return self._renderer.page(
            "drift.html",
            revision=revision,
            drift=drift,
            number=number,
            over=over,
            limit=limit,
            is_set=bool(limits),
            is_all=is_all,
            chosen=chosen,
            drawing=heat_map(drift, limit),
            alerts=[one for one in alerts if one.labels.get("kind") in OF_DRIFT],
        )


def _newest(windows: list[WindowView], most: int) -> tuple[list[WindowView], bool]:
    """Return the windows of the `most` newest starts, and whether there were older ones; the oldest come first."""
    starts = sorted({one.start_s for one in windows})
    if len(starts) <= most:
        return windows, False
    return [one for one in windows if one.start_s >= starts[-most]], True


def _goal(
    one: Revision, now: Revision, out: Container[tuple[str, int]], kept: Container[tuple[str, int]]
) -> str:
    """Return what going back to a revision is: `open`, or why it is not offered; empty where it would change nothing.

    Args:
        out: versions that were rolled back; `--to` with `--force` in a terminal goes back to one all the same.
        kept: versions that were not taken away.
    """
    version = (one.model, one.stable)
    if one.number >= now.number or (version == (now.model, now.stable) and now.canary is None):
        return ""
    if version not in kept:
        return "deleted"
    return "rolled back" if version in out else "open"


def _alerting(view: EndpointView | None) -> set[tuple[str, str, str]]:
    """Return the breaches that only alert, by kind, name and route."""
    found = view.findings if view else ()
    return {(one.kind, one.name, one.route) for one in found if one.breached and one.action == "alert"}


def _guardrails(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings for the table of guardrails, the worst first; drift within its limit has its own.

    Drift that was not judged stands in it once a route, however many features it is of.
    """
    order = {"breached": 0, "unjudged": 1, "held": 2}
    untold = {
        one.route: one for one in reversed(findings) if one.kind == "drift" and one.unjudged is not None
    }
    shown = [one for one in findings if one.kind != "drift" or one.breached or one is untold.get(one.route)]
    return sorted(shown, key=lambda one: (order[one.state], one.route, one.kind, one.name))


def _judged(settings: EndpointSettings | None) -> list[str]:
    """Return the metrics that the guardrails judge."""
    guardrails = settings.guardrails if settings else ()
    return [entry.quality.metric for entry in guardrails if entry.quality is not None]


def _metric(judged: Sequence[str], windows: list[WindowView]) -> str | None:
    """Return the metric the guardrails judge, else one the labels tell."""
    told = {name for window in windows for name in window.quality}
    ordered = [*judged, "roc_auc", "accuracy", "rmse", *sorted(told)]
    return next((name for name in ordered if name in told), None)


def _charts(
    windows: list[WindowView],
    metric: str | None,
    revisions: Sequence[Revision],
    findings: Sequence[Finding],
    steps: Sequence[PolicyStep],
) -> list[Chart]:
    if not windows:
        return []
    frame = Frame.of(windows, _marks(revisions))
    limits = limits_of(findings, metric, revisions, steps)
    drawn = [
        bar_chart("Requests", "requests a window", windows, lambda one: one.request_count, frame),
        line_chart("Latency p99", "milliseconds", windows, lambda one: one.p99_ms, frame, limits["latency"]),
        line_chart("Failed requests", "% of requests", windows, _failed_percent, frame, limits["errors"]),
    ]
    if metric is not None:
        live = line_chart(
            f"Live {metric}",
            "from labels",
            windows,
            lambda one: one.quality.get(metric),
            frame,
            limits["quality"],
        )
        drawn.insert(0, live)
    return [chart for chart in drawn if chart is not None]


def _marks(revisions: Sequence[Revision]) -> list[tuple[float, str]]:
    """Return when each revision began, with its label."""
    return [
        (one.created_ms / 1000, f"{'↩' if one.kind == 'rolled_back' else ''}#{one.number}")
        for one in revisions
    ]


def limits_of(
    findings: Sequence[Finding],
    metric: str | None,
    revisions: Sequence[Revision],
    steps: Sequence[PolicyStep],
) -> dict[str, Limit | None]:
    """Return what the stable route's traffic is judged by, in the units of the charts, and since when.

    A limit holds since guardrails were last changed; one that is judged against the version's own evaluation only while
    that version is stable.

    Args:
        revisions: of the endpoint, newest first.
        steps: its policies, newest first.
    """
    changed = [one for one in steps if any("guardrail" in change for change in one.changes)] or steps[-1:]
    set_s = changed[0].created_ms / 1000 if changed else 0.0
    ends_s = [math.inf, *(one.created_ms / 1000 for one in revisions)]
    stable = [
        (max(set_s, one.created_ms / 1000), end_s)
        for one, end_s in zip(revisions, ends_s, strict=False)
        if (one.model, one.stable) == (revisions[0].model, revisions[0].stable) and end_s > set_s
    ]
    found: dict[str, Limit | None] = dict.fromkeys(("latency", "errors", "quality"))
    for one in findings:
        if one.route != "stable" or one.limit != one.limit:
            continue
        is_own = one.against is not None and one.against == one.against
        spans_s = tuple(reversed(stable)) if is_own else ((set_s, math.inf),)
        if one.kind == "latency":
            found["latency"] = Limit(1000 * one.limit, milliseconds(1000 * one.limit), spans_s)
        elif one.kind == "errors":
            found["errors"] = Limit(100 * one.limit, f"{100 * one.limit:g} %", spans_s)
        elif one.metric == metric and one.worst is not None:
            found["quality"] = Limit(one.worst, number(one.worst), spans_s)
    return found


def _failed_percent(window: WindowView) -> float | None:
    return 100 * window.error_ratio if window.request_count else None
