"""The page of one endpoint: what is wrong, its guardrails, its traffic over time, its revisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from penstock.base.clock import now_ms
from penstock.base.errors import PenstockError
from penstock.base.store.events import list_events
from penstock.flows.production.health import Watched
from penstock.flows.production.measuring import USUAL_METRICS
from penstock.flows.production.overview import latest_look, list_shadows, overview
from penstock.flows.production.rolling_back import plan_rollback
from penstock.flows.production.windows import WindowView, view_windows
from penstock.http.caller import caller_of
from penstock.http.pages.drawing.charts import Chart, Frame, Limit, bar_chart, line_chart
from penstock.http.pages.drawing.drift import drift_rows
from penstock.http.pages.render import Renderer
from penstock.http.pages.telling.conditions import condition_of
from penstock.http.pages.telling.formatting import milliseconds, number
from penstock.http.pages.telling.timeline import group_events
from penstock.monitoring.alerts import list_open_alerts
from penstock.monitoring.findings import Finding, list_findings
from penstock.monitoring.policies import list_policy_steps, policy_or_none_yet
from penstock.monitoring.quality import LOWER_IS_BETTER
from penstock.monitoring.settings import EndpointSettings
from penstock.project.project import Project
from penstock.serving.deployments import Revision, get_revision, list_revisions

EVENTS = 60
BREACHES = 20
WINDOWS = 120
SPANS = {"15m": 900, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "all": 0}
"""What the time range of the address may be, in seconds; 0 for the newest windows, however old."""

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
        except Exception as error:  # noqa: BLE001  (one row's damage must not hide the rest of the page)
            words = error.message if isinstance(error, PenstockError) else f"{type(error).__name__}: {error}"
            self.problems.append(words)
            return None


class EndpointPages:
    """Shows one endpoint."""

    def __init__(self, project: Project, controller: Watched, renderer: Renderer) -> None:
        self._project = project
        self._controller = controller
        self._renderer = renderer

    def endpoint(self, request: Request) -> Response:
        """One endpoint: condition, guardrails, traffic, revisions, policies, events."""
        name = request.path_params["name"]
        span = request.query_params.get("span", "all")
        span = span if span in SPANS else "all"
        with self._project.database.read() as connection:
            revision = get_revision(connection, name)
            alerts = list_open_alerts(connection, name)
            revisions = list_revisions(connection, name)
            events = list(reversed(list_events(connection, subject=f"endpoint:{name}", limit=EVENTS)))
            may = caller_of(request.scope).may(connection, "model", revision.model, "admin")
        looks = self._controller.health.observations
        readable = Readable(self._project, [])
        policy = readable.read(lambda connection: policy_or_none_yet(connection, name, revision.model))
        steps = readable.read(lambda connection: list_policy_steps(connection, name))
        breaches = readable.read(
            lambda connection: list_findings(connection, name, breached=True, limit=BREACHES)
        )
        shadows = readable.read(lambda connection: list_shadows(connection, revision))
        seen = readable.read(lambda _connection: latest_look(self._project, revision, looks))
        judged = _judged(policy.settings if policy else None)
        since_s = now_ms() // 1000 - SPANS[span] if SPANS[span] else 0
        windows = readable.read(
            lambda _connection: view_windows(
                self._project, name, limit=WINDOWS, since_s=since_s, metrics=judged or USUAL_METRICS
            )
        )
        windows = windows or []
        view = next((one for one in overview(self._project, looks) if one.name == name), None)
        findings = seen.findings if seen else ()
        try:
            plan_rollback(self._project, name)
            nothing_before = ""
        except PenstockError as error:
            nothing_before = error.message
        metric = _metric(judged, windows)
        return self._renderer.page(
            "endpoint.html",
            revision=revision,
            condition=condition_of(view, alerts, events, now_ms()) if view else None,
            policy=policy,
            policies=steps or [],
            problems=list(dict.fromkeys(readable.problems)),
            view=view,
            nothing_before=nothing_before,
            may=may,
            span=span,
            spans=SPANS,
            charts=_charts(windows, metric, revisions, findings),
            windows=list(reversed(windows)),
            guardrails=_guardrails(findings),
            drift=drift_rows(findings),
            is_judged=seen is not None,
            shadows=shadows or [],
            alerts=alerts,
            breaches=breaches or [],
            revisions=revisions,
            rows=group_events(events),
        )


def _guardrails(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings for the table of guardrails, the worst first; drift within its limit has its own."""
    order = {"breached": 0, "unjudged": 1, "held": 2}
    shown = [one for one in findings if one.kind != "drift" or one.breached]
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
) -> list[Chart]:
    if not windows:
        return []
    frame = Frame.of(windows, _marks(revisions))
    limits = _limits(findings, metric)
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


def _limits(findings: Sequence[Finding], metric: str | None) -> dict[str, Limit | None]:
    """Return what the stable route's traffic is judged by, in the units of the charts."""
    found: dict[str, Limit | None] = dict.fromkeys(("latency", "errors", "quality"))
    for one in findings:
        if one.route != "stable" or one.limit != one.limit:
            continue
        if one.kind == "latency":
            found["latency"] = Limit(1000 * one.limit, milliseconds(1000 * one.limit))
        elif one.kind == "errors":
            found["errors"] = Limit(100 * one.limit, f"{100 * one.limit:g} %")
        elif one.kind == "quality" and one.name == metric and one.against is not None:
            worst = one.against + one.limit if metric in LOWER_IS_BETTER else one.against - one.limit
            found["quality"] = Limit(worst, number(worst))
    return found


def _failed_percent(window: WindowView) -> float | None:
    return 100 * window.error_ratio if window.request_count else None
