"""Commands that write what other programs read: `monitor rules`, `monitor dashboard`."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli.output import Session, json_option, pass_session

FILE = click.Path(dir_okay=False, path_type=Path)
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
    said = f"{count} rules, {len(rules.alerts)} of them alerts"
    if cases is not None:
        said += f"; promtool: {cases} cases hold"
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
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
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
    session.emit({"folder": str(folder), "files": sorted(files)}, f"{folder}: {len(files)} files")
