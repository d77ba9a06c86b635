"""Commands on live traffic: `monitor status`, `monitor run`; what writes files for others is in `observing`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from penstock.base.numbers import counted
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.production.observing import (
    monitor_backtest,
    monitor_dashboard,
    monitor_report,
    monitor_rules,
)
from penstock.cli.tables import render_table

if TYPE_CHECKING:
    from threading import Event

    from penstock.flows.production.measuring import SliceMeasure
    from penstock.flows.production.overview import EndpointView, FindingView
    from penstock.flows.production.traffic.routes import RouteView
    from penstock.project.project import Project

NOT_JUDGED = " not judged: "


@click.group()
def monitor() -> None:
    """Show live windows, drift, quality and findings."""


monitor.add_command(monitor_rules)
monitor.add_command(monitor_dashboard)
monitor.add_command(monitor_report)
monitor.add_command(monitor_backtest)


@monitor.command("status")
@click.argument("name", metavar="[ENDPOINT]", required=False)
@json_option
@pass_session
def monitor_status(session: Session, name: str | None) -> None:
    """Show recent traffic of every endpoint (or one), judged against its guardrails."""
    import msgspec

    from penstock.base.errors import NotFound
    from penstock.flows.production.live.undelivered import list_undelivered
    from penstock.flows.production.overview import overview
    from penstock.registry.webhooks import list_failing_webhooks
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    found = [one for one in overview(project) if name in (None, one.name)]
    for waiting in list_undelivered(project.home):
        if name in (None, waiting.endpoint) and waiting.endpoint not in {one.name for one in found}:
            session.note(f"{waiting.endpoint}: {waiting.sentence}")
    if name is not None and not found:
        raise NotFound(
            f"there is no endpoint {name!r}", code="serving.endpoint_unknown", hint="penstock endpoint list"
        )
    problem = project.settings_problem
    if problem is not None:
        session.note(f"the policies in the store hold; penstock.yaml is not used: {problem.message}")
    text = "\n\n".join(_render(one) for one in found) or "No endpoints yet: penstock deploy"
    with project.database.read() as connection:
        failing = list_failing_webhooks(connection) if name is None else []
    if session.as_json:
        for words in failing:
            session.note(f"registry: {words}")
    text = "\n\n".join([text, *(["\n".join(f"webhook {words}" for words in failing)] if failing else [])])
    session.emit(msgspec.to_builtins(found), text)


@monitor.command("run")
@click.option("--once", is_flag=True, help="Look once and act, then end; a retraining is waited for.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=0.5,
    show_default=True,
    help="Seconds between looks.",
)
@json_option
@pass_session
def monitor_run(session: Session, once: bool, interval: float) -> None:
    """Run the controller alone: judge windows, roll back, advance canaries, retrain."""
    import signal
    import threading

    from penstock.processes.controller import ControllerLoop
    from penstock.workspace import open_workspace

    stop = threading.Event()
    project = open_workspace(session.directory, actor="controller")
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: stop.set())
        if once:
            _look_once(session, project, stop, interval)
            return
        loop = ControllerLoop(project, interval)
        loop.start()
        session.note("controller running; stop with Ctrl-C")
        stop.wait()
        loop.stop()
    finally:
        project.close()


def _look_once(session: Session, project: Project, stop: Event, interval_s: float) -> None:
    """Look at all endpoints and act; a retraining that it starts is waited for, since it ends with its controller."""
    from penstock.flows.production.controlling.responding import Controller
    from penstock.flows.production.controlling.retraining_view import list_outcomes
    from penstock.flows.production.controlling.telling import AlertLoop

    controller = Controller(project)
    try:
        count = controller.tick()
        is_leading, problems = controller.is_leading, dict(controller.problems)
        running = controller.retraining.running
        if running is not None:
            session.note(
                f"{running.endpoint} is retrained, which is waited for (log: {running.path}); Ctrl-C ends it"
            )
        while controller.retraining.running is not None and not stop.wait(interval_s):
            controller.tick()
    finally:
        controller.close()
        AlertLoop(project).send_due()
    became = list_outcomes(project, running) if is_leading else []
    looked = (
        f"Looked at {counted(count, 'endpoint')}."
        if is_leading
        else "Looked at nothing: another controller acts."
    )
    lines = [looked, *(f"{name}: {words}" for name, words in problems.items()), *became]
    found = {"endpoints": count, "acts": is_leading, "problems": problems, "retrained": became}
    session.emit(found, "\n".join(lines))


def _render(view: EndpointView) -> str:
    from penstock.base.clock import format_ms
    from penstock.flows.production.measuring import USUAL_METRICS
    from penstock.stats.metric_names import metric_of

    rows: list[tuple[object, ...]] = []
    guarded = {metric_of(one.name) for one in view.findings if one.kind == "quality"} or USUAL_METRICS
    for route in view.routes:
        told = {name: value for name, value in route.quality.items() if name in guarded}
        quality = ", ".join(f"{name} {value:.3f}" for name, value in told.items())
        rows.append(
            (
                route.route,
                route.version,
                "-" if route.route == "batch" else f"{route.percent:g} %",
                route.request_count,
                f"{route.error_ratio:.2%}",
                "-" if route.p50_ms is None else f"{route.p50_ms:.1f}",
                "-" if route.p99_ms is None else f"{route.p99_ms:.1f}",
                route.label_count,
                quality or "-",
            )
        )
    headers = ("route", "version", "share", "requests", "errors", "p50 ms", "p99 ms", "labels", "quality")
    odd = [
        f"NaN     {one.route}: {counted(one.nonfinite_row_count, 'row was', 'rows were')} answered with NaN, infinity or what the model cannot answer"
        for one in view.routes
        if one.nonfinite_row_count
    ]
    why = f": {view.health_reason}" if view.health_reason else ""
    lines = [f"{view.name} (revision {view.revision}, policy {view.policy}): {view.health}{why}"]
    lines += [render_table(rows, headers)] if rows else []
    lines += [f"span    {one.route}: {_span(one)}" for one in view.routes if _span(one)]
    lines += odd
    lines += [f"est.    {one.route}: {one.estimated.sentence}" for one in view.routes if one.estimated]
    lines += [f"est.    {one.route}: {one.estimated_untold}" for one in view.routes if one.estimated_untold]
    for route in view.routes:
        lines += [f"slice   {route.route}: {_slice(one)}" for one in route.slices]
        lines += [f"why     {route.route}: {route.cause.sentence}"] if route.cause else []
        lines += [f"why     {route.route}: {route.cause_untold}"] if route.cause_untold else []
    lines += [f"refused {view.refused_sentence}"] if view.refused else []
    lines += [f"waits   {one.sentence}" for one in view.undelivered]
    lines += [f"labels  {view.labels.sentence}"] if view.labels else []
    lines += [f"open    {one.sentence}" for one in view.open_breaches if one.state != "breached"]
    lines += [f"undone  {one}" for one in view.undone]
    lines += [f"alerts  {one}" for one in view.untold]
    lines += [f"note    {one}" for one in view.notes]
    lines += [f"retrain {view.retraining.sentence}"] if view.retraining else []
    lines += [f"acts    {view.nobody_acts}"] if view.nobody_acts else []
    lines += [f"problem {view.problem}"] if view.problem and view.problem != view.health_reason else []
    lines += [
        f"lost    {url}: it ended without a word, seen last {format_ms(seen_ms)}"
        for url, seen_ms in view.lost_servers.items()
    ]
    lines += [f"shadow  {told}" for told in dict.fromkeys(view.shadow_failures.values())]
    lines += [f"server  {told}" for told in dict.fromkeys(view.server_notes.values())]
    lines += [f"canary  {view.rollout.sentence}"] if view.rollout else []
    return "\n".join([*lines, *_findings(view.findings)])


def _findings(findings: Sequence[FindingView]) -> Iterator[str]:
    """Yield a line for each finding; those that are not judged for the same reason are one."""
    words = {"breached": "BREACH", "held": "ok", "unjudged": "?"}
    alike: dict[tuple[str, str], list[FindingView]] = {}
    for one in findings:
        why = one.sentence.partition(NOT_JUDGED)[2]
        if one.unjudged is None or not why:
            yield f"{'beyond' if one.is_inconclusive else words[one.state]:6}  {one.kind}: {one.sentence}"
        else:
            alike.setdefault((one.sentence.partition(": ")[0], why), []).append(one)
    for (whose, why), group in alike.items():
        if len(group) == 1:
            yield f"?       {group[0].kind}: {group[0].sentence}"
            continue
        kinds, names = (
            list(dict.fromkeys(told)) for told in zip(*((one.kind, one.name) for one in group), strict=True)
        )
        verb = " are" if len(names) > 1 else " is"
        yield f"?       {', '.join(kinds)}: {whose}: {', '.join(names)}{verb}{NOT_JUDGED}{why}"


def _span(route: RouteView) -> str:
    """Return which time the numbers of a route are of: requests and labels are counted over different ones."""
    from penstock.base.clock import format_ms

    told = []
    if route.request_count and route.start_s is not None and route.end_s is not None:
        told.append(
            f"requests, errors and times of {format_ms(1000 * route.start_s)} to {format_ms(1000 * route.end_s)}"
        )
    if route.label_count and route.labels_since_s is not None:
        told.append(f"labels of predictions since {format_ms(1000 * route.labels_since_s)}")
    return "; ".join(told)


def _slice(one: SliceMeasure) -> str:
    told = ", ".join(
        f"{name} {value:.3f}" + (f" ± {2 * error:.3f}" if math.isfinite(error) else "")
        for name, (value, error) in one.quality.items()
    )
    return f"{one.feature} {one.value}: {told or 'no metric'} over {counted(one.label_count, 'label')}"
