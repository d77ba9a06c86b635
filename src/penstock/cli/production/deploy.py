"""Commands on endpoints: `deploy`, `rollback`, `endpoint`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.tables import render_table

if TYPE_CHECKING:
    from penstock.flows.production.deploying import DeploymentPlan
    from penstock.project.project import Project
    from penstock.serving.deployments import Revision

WAIT_OPTION = click.option(
    "--wait/--no-wait", default=True, help="Wait until every running serve process took it over."
)
TIMEOUT_OPTION = click.option(
    "--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait."
)


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.option(
    "--model",
    "reference",
    help="NAME/3, NAME@champion, or NAME for its champion; by default what penstock.yaml says.",
)
@click.option(
    "--canary", type=click.FloatRange(0, 100, min_open=True, max_open=True), help="Percent of the traffic."
)
@click.option("--reason", help="Why, for the record.")
@click.option("--dry-run", is_flag=True, help="Check everything and say what would happen.")
@WAIT_OPTION
@TIMEOUT_OPTION
@json_option
@pass_session
def deploy(
    session: Session,
    name: str,
    reference: str | None,
    canary: float | None,
    reason: str | None,
    dry_run: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Make ENDPOINT serve a model version, for all traffic or as a canary."""
    from penstock.flows.production.deploying import plan_deployment
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    known = project.settings.endpoints.get(name)
    if reference is None and known is None:
        raise click.UsageError(f"--model is needed: penstock.yaml knows no endpoint {name!r}")
    reference = reference or (known.model if known else "")
    plan = plan_deployment(project, name, reference, canary=canary, reason=reason)
    _carry_out(session, project, plan, timeout if wait else None, dry_run)


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--to", type=click.IntRange(min=1), help="The revision to go back to.")
@click.option("--reason", help="Why, for the record.")
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@WAIT_OPTION
@TIMEOUT_OPTION
@json_option
@pass_session
def rollback(
    session: Session, name: str, to: int | None, reason: str | None, dry_run: bool, wait: bool, timeout: float
) -> None:
    """Take a canary out, or make ENDPOINT serve what it served before."""
    from penstock.flows.production.deploying import plan_rollback
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    plan = plan_rollback(project, name, to=to, reason=reason)
    _carry_out(session, project, plan, timeout if wait else None, dry_run)


def _carry_out(
    session: Session, project: Project, plan: DeploymentPlan, timeout_s: float | None, dry_run: bool
) -> None:
    from penstock.flows.production.deploying import apply_deployment, wait_until_served

    if dry_run:
        session.emit(
            {"endpoint": plan.endpoint, "summary": plan.summary, "applied": False}, f"Would: {plan.summary}."
        )
        return
    revision = apply_deployment(project, plan)
    servers = wait_until_served(project, revision, timeout_s) if timeout_s is not None else None
    document = {**_document(revision), "summary": plan.summary, "applied": True, "servers": servers}
    text = f"{plan.summary} (revision {revision.number})."
    if servers == 0:
        text += "\nNo serve process is running: penstock serve"
    elif servers:
        text += f"\n{servers} serve process{'es' if servers > 1 else ''} took it over."
    session.emit(document, text)


@click.group()
def endpoint() -> None:
    """List endpoints, show one, or its history."""


@endpoint.command("list")
@json_option
@pass_session
def endpoint_list(session: Session) -> None:
    """List endpoints and what they serve."""
    from penstock.serving.deployments import list_endpoints
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        found = list_endpoints(connection)
    rows = [_row(revision) for revision in found]
    text = (
        render_table(rows, ("endpoint", "revision", "stable", "canary", "since", "by"))
        if rows
        else "No endpoints yet: penstock deploy"
    )
    session.emit([_document(revision) for revision in found], text)


@endpoint.command("show")
@click.argument("name", metavar="ENDPOINT")
@json_option
@pass_session
def endpoint_show(session: Session, name: str) -> None:
    """Show an endpoint's revision and which serve processes run it."""
    from penstock.base.clock import now_ms
    from penstock.flows.production.deploying import WORKER_ALIVE_MS
    from penstock.serving.deployments import get_revision
    from penstock.serving.workers import list_workers
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        revision = get_revision(connection, name)
        workers = list_workers(connection, now_ms() - WORKER_ALIVE_MS)
    states = [(worker, worker.state_of(name, revision.number)) for worker in workers]
    document = {
        **_document(revision),
        "servers": [
            {
                "url": worker.url,
                "pid": worker.pid,
                "state": state.state if state else "pending",
                "message": state.message if state else "",
            }
            for worker, state in states
        ],
    }
    lines = [
        f"endpoint  {revision.endpoint}, revision {revision.number}",
        f"stable    {revision.model}/{revision.stable}",
    ]
    if revision.canary:
        lines.append(
            f"canary    {revision.model}/{revision.canary.version}, {revision.canary.percent:g} % of the traffic"
        )
    lines.append(f"reason    {revision.reason}")
    lines += [
        f"server    {worker.url}: {state.state if state else 'not taken over yet'}"
        for worker, state in states
    ]
    if not states:
        lines.append("server    none is running: penstock serve")
    session.emit(document, "\n".join(lines))


@endpoint.command("history")
@click.argument("name", metavar="ENDPOINT")
@json_option
@pass_session
def endpoint_history(session: Session, name: str) -> None:
    """List an endpoint's revisions, newest first."""
    from penstock.serving.deployments import get_revision, list_revisions
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        get_revision(connection, name)
        found = list_revisions(connection, name)
    rows = [(*_row(revision)[1:], revision.reason) for revision in found]
    text = render_table(rows, ("revision", "stable", "canary", "since", "by", "reason"))
    session.emit([_document(revision) for revision in found], text)


def _row(revision: Revision) -> tuple[object, ...]:
    from penstock.base.clock import format_ms

    canary = (
        f"{revision.model}/{revision.canary.version} {revision.canary.percent:g} %"
        if revision.canary
        else "-"
    )
    return (
        revision.endpoint,
        revision.number,
        f"{revision.model}/{revision.stable}",
        canary,
        format_ms(revision.created_ms),
        revision.actor,
    )


def _document(revision: Revision) -> dict[str, Any]:
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(revision)
    return document
