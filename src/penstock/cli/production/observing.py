"""Commands that write what others read: `monitor rules`, `monitor dashboard`, `monitor report`, `monitor backtest`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.base.clock import UNITS_MS
from penstock.base.numbers import counted
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.places import GivenPath

if TYPE_CHECKING:
    from penstock.monitoring.reporting.changes import TableReport
    from penstock.monitoring.reporting.spans import EndpointReport

FILE = GivenPath(dir_okay=False, path_type=Path)
TABLE = GivenPath(exists=True, dir_okay=False, path_type=Path)


class Moment(click.ParamType[int]):
    """A moment in milliseconds since the epoch: how long ago, as in 90m, 24h or 7d, or a date or time of ISO 8601."""

    name = "time"

    def convert(self, value: object, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Read what was given."""
        from penstock.base.clock import now_ms

        if isinstance(value, int):
            return value
        text = str(value).strip()
        if (ago := re.fullmatch(r"(\d{1,6})(s|m|min|h|d|w)", text)) is not None:
            return now_ms() - int(ago[1]) * UNITS_MS[ago[2]]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"{text!r} is neither how long ago, such as 24h or 7d, nor a time such as 2026-11-28T10:00"
            )
        time_ms = int(1000 * (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        if time_ms > now_ms():
            self.fail(f"{text!r} lies in the future (UTC where no zone is named): nothing has happened since")
        return time_ms


since_option = click.option(
    "--since",
    type=Moment(),
    default="24h",
    show_default=True,
    metavar="TIME",
    help="How long ago (90m, 24h, 7d), or a date or time (UTC where it says nothing else).",
)
server_url_option = click.option(
    "--server-url",
    default="",
    metavar="URL",
    help="Where the pages are; alerts and panels then link to them.",
)


@click.command("rules")
@click.argument("names", metavar="[ENDPOINT]...", nargs=-1)
@click.option("--out", "-o", type=FILE, help="Write them to this file instead of printing them.")
@click.option(
    "--test",
    "is_tested",
    is_flag=True,
    help="Let promtool check them and run the cases that must fire and must not; with --out their file stays.",
)
@server_url_option
@json_option
@pass_session
def monitor_rules(
    session: Session, names: tuple[str, ...], out: Path | None, is_tested: bool, server_url: str
) -> None:
    """Write Prometheus recording and alerting rules from the policies of endpoints (all, or those named)."""
    from penstock.flows.observing.alerting import prove_rules, rules_of, tests_beside, write_rules
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    try:
        rules = rules_of(project, names, server_url)
    finally:
        project.close()
    for note in rules.notes:
        session.note(note)
    if out is not None:
        write_rules(rules, out, with_tests=is_tested)
    cases = prove_rules(rules, out) if is_tested else None
    count = sum(len(one.rules) for one in rules.groups)
    said = f"{counted(count, 'rule')}, {len(rules.alerts)} of them alerts"
    if cases is not None:
        said += f"; promtool: {counted(cases, 'case holds', 'cases hold')}"
    document = {
        "rules": count,
        "alerts": sorted({one.name for one in rules.alerts}),
        "cases": cases,
        "notes": list(rules.notes),
        "file": None if out is None else str(out),
        "tests": str(tests_beside(out)) if out is not None and is_tested else None,
        "text": rules.text,
    }
    if out is not None or is_tested:
        session.emit(document, f"{out}: {said}" if out else said)
    else:
        session.emit(document, rules.text.rstrip("\n"))


@click.command("dashboard")
@click.argument("folder", metavar="DIR", type=GivenPath(file_okay=False, path_type=Path))
@click.option(
    "--prometheus-url",
    default="http://localhost:9090",
    show_default=True,
    metavar="URL",
    help="Where Grafana asks Prometheus.",
)
@click.option(
    "--path",
    "place",
    metavar="PATH",
    help="Where Grafana finds the dashboards on its machine, when that is not DIR/dashboards here.",
)
@server_url_option
@json_option
@pass_session
def monitor_dashboard(
    session: Session, folder: Path, prometheus_url: str, place: str | None, server_url: str
) -> None:
    """Write Grafana dashboards and the provisioning files that tell Grafana of them."""
    from penstock.base.files import write_atomic
    from penstock.monitoring.grafana.provisioning import DASHBOARDS, grafana_files

    files = grafana_files(prometheus_url, place or str((folder / DASHBOARDS).absolute()), server_url)
    for name, data in files.items():
        write_atomic(folder / name, data, mode=0o644)
    session.emit({"folder": str(folder), "files": sorted(files)}, f"{folder}: {counted(len(files), 'file')}")


@click.command("report")
@click.argument("endpoint", required=False)
@since_option
@click.option("--reference", type=TABLE, help="Compare two tables instead: this one, before.")
@click.option("--current", type=TABLE, help="And this one, now. Parquet, CSV or JSON lines of any size.")
@click.option("--html", "page", type=FILE, help="Write one HTML file that needs nothing else.")
@click.option(
    "--png", "picture", type=FILE, help="Write one picture: what changed most, for a chat or a ticket."
)
@json_option
@pass_session
def monitor_report(
    session: Session,
    endpoint: str | None,
    since: int,
    reference: Path | None,
    current: Path | None,
    page: Path | None,
    picture: Path | None,
) -> None:
    """Report what changed: of an endpoint (the only one needs no name) since a time, or between two tables.

    Prints Markdown, or JSON with --json.
    """
    import msgspec

    from penstock.base.files import write_atomic
    from penstock.flows.observing.comparing import compare_rows
    from penstock.flows.observing.picturing import draw_report
    from penstock.flows.observing.reporting import only_endpoint, report_endpoint
    from penstock.monitoring.reporting import markdown, pages
    from penstock.workspace import open_workspace

    report: TableReport | EndpointReport
    if (reference is None) != (current is None):
        raise click.UsageError("--reference and --current go together")
    if reference is not None and current is not None:
        if endpoint is not None:
            raise click.UsageError("two tables have no endpoint: give one or the other")
        report = tables = compare_rows(reference, current, (reference.name, current.name))
        html, text = pages.render_tables(tables), markdown.tables_markdown(tables)
    else:
        project = open_workspace(session.directory)
        try:
            report = told = report_endpoint(project, endpoint or only_endpoint(project), since)
        finally:
            project.close()
        html, text = pages.render_endpoint(told), markdown.endpoint_markdown(told)
    document = {**msgspec.to_builtins(report), "sentence": report.sentence}
    written = {"html": page, "png": picture}
    if picture is not None:
        write_atomic(picture, draw_report(report), mode=0o644)
    if page is not None:
        write_atomic(page, html.encode(), mode=0o644)
    if page is not None or picture is not None:
        places = {kind: str(place) for kind, place in written.items() if place is not None}
        session.emit({**document, **places}, f"{', '.join(places.values())}: {report.sentence}")
    else:
        session.emit(document, text.rstrip("\n"))


@click.command("backtest")
@click.argument("endpoint")
@click.option(
    "--policy",
    type=TABLE,
    metavar="FILE",
    help="Another policy: a penstock.yaml, or what stands under an endpoint's name in one.",
)
@since_option
@json_option
@pass_session
def monitor_backtest(session: Session, endpoint: str, policy: Path | None, since: int) -> None:
    """Run a policy (the one that holds, or a file) over recorded windows: its alarms, when, and what it would have done."""
    import msgspec

    from penstock.flows.observing.backtesting import backtest
    from penstock.flows.observing.policies import read_policy
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    try:
        settings = None if policy is None else read_policy(policy, endpoint)
        found = backtest(project, endpoint, since, settings, "" if policy is None else policy.name)
    finally:
        project.close()
    session.emit({**msgspec.to_builtins(found), "sentence": found.sentence}, found.render)
