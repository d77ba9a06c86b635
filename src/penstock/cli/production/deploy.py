"""Commands that change what an endpoint serves: `deploy`, `rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from penstock.base.numbers import counted
from penstock.cli.output import Session, json_option, pass_session

if TYPE_CHECKING:
    from penstock.flows.production.revising import DeploymentPlan
    from penstock.project.project import Project

WAIT_OPTION = click.option(
    "--wait/--no-wait", default=True, help="Wait until every running serve process took it over."
)
TIMEOUT_OPTION = click.option(
    "--timeout", type=float, default=60.0, show_default=True, help="Seconds to wait."
)

ONLY_DEPLOYING = {"canary", "fixed", "shadows", "no_shadow", "reason", "wait", "timeout"}
ONLY_WRITING = {"image", "namespace"}


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
@click.option(
    "--fixed",
    is_flag=True,
    help="Keep --canary at its percent until somebody changes it, to compare versions.",
)
@click.option(
    "--shadow",
    "shadows",
    multiple=True,
    help="A version that sees what the stable version or a canary answers, and answers nothing; also several times. "
    "Those named are the shadows from then on; by default those of penstock.yaml, or those that there are. Alone, it changes nothing else.",
)
@click.option("--no-shadow", is_flag=True, help="Take all shadows out. Alone, it changes nothing else.")
@click.option("--reason", help="Why, for the record.")
@click.option(
    "--force",
    is_flag=True,
    help="Also a version that was rolled back, that gates refused which are not set any more, or that requires what clients do not send; --reason says why it may. With --manifest, replace files.",
)
@click.option("--dry-run", is_flag=True, help="Check everything and say what would happen.")
@click.option(
    "--manifest",
    nargs=2,
    type=(click.Choice(["k8s", "kserve", "seldon"]), click.Path(file_okay=False, path_type=Path)),
    metavar="KIND DIR",
    help="Only write the files with which it runs elsewhere (k8s, kserve or seldon; a Dockerfile, a compose file).",
)
@click.option("--image", help="What --manifest calls the container image.")
@click.option("--namespace", default="default", show_default=True, help="Where --manifest runs it.")
@WAIT_OPTION
@TIMEOUT_OPTION
@json_option
@pass_session
def deploy(
    session: Session,
    name: str,
    reference: str | None,
    canary: float | None,
    fixed: bool,
    shadows: tuple[str, ...],
    no_shadow: bool,
    reason: str | None,
    force: bool,
    dry_run: bool,
    manifest: tuple[str, Path] | None,
    image: str | None,
    namespace: str,
    wait: bool,
    timeout: float,
) -> None:
    """Make ENDPOINT serve a model version, for all traffic or as a canary.

    What penstock.yaml says of the endpoint becomes its policy; what that will not be able to judge is told.
    """
    from penstock.flows.production.deploying import plan_deployment
    from penstock.flows.production.traffic.shadowing import plan_shadows
    from penstock.workspace import open_workspace

    if fixed and canary is None:
        raise click.UsageError("--fixed needs --canary")
    if shadows and no_shadow:
        raise click.UsageError("--shadow and --no-shadow exclude each other")
    _refuse_unused(writes_files=manifest is not None)
    project = open_workspace(session.directory)
    if manifest is not None:
        _write_manifests(
            session, project, name, manifest, reference, image, namespace, force=force, dry_run=dry_run
        )
        return
    is_about_shadows = bool(shadows) or no_shadow
    if is_about_shadows and reference is None and canary is None:
        plan = plan_shadows(project, name, shadows, reason=reason)
        _carry_out(session, project, plan, timeout if wait else None, dry_run)
        return
    known = project.settings.endpoints.get(name)
    if reference is None and known is None:
        raise click.UsageError(f"--model is needed: penstock.yaml knows no endpoint {name!r}")
    reference = reference or (known.model if known else "")
    plan = plan_deployment(
        project,
        name,
        reference,
        canary=canary,
        reason=reason,
        force=force,
        shadows=shadows if is_about_shadows else None,
        is_fixed=fixed,
    )
    _carry_out(session, project, plan, timeout if wait else None, dry_run)


@click.command()
@click.argument("name", metavar="ENDPOINT")
@click.option("--to", type=click.IntRange(min=1), help="The revision to go back to.")
@click.option("--reason", help="Why, for the record.")
@click.option(
    "--force",
    is_flag=True,
    help="With --to, also to a version that was rolled back; --reason says why it may.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@WAIT_OPTION
@TIMEOUT_OPTION
@json_option
@pass_session
def rollback(
    session: Session,
    name: str,
    to: int | None,
    reason: str | None,
    force: bool,
    dry_run: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Take a canary out, or make ENDPOINT serve what it served before."""
    from penstock.flows.production.traffic.rolling_back import plan_rollback
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    plan = plan_rollback(project, name, to=to, reason=reason, force=force)
    _carry_out(session, project, plan, timeout if wait else None, dry_run)


def _refuse_unused(*, writes_files: bool) -> None:
    """Refuse flags that say nothing here: files describe one version for all traffic; a deployment writes none."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name not in (ONLY_DEPLOYING if writes_files else ONLY_WRITING):
            continue
        if context.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT:
            flag = parameter.opts[0]
            raise click.UsageError(
                f"--manifest only writes files: {flag} is for a deployment"
                if writes_files
                else f"{flag} needs --manifest"
            )


def _write_manifests(
    session: Session,
    project: Project,
    name: str,
    manifest: tuple[str, Path],
    model: str | None,
    image: str | None,
    namespace: str,
    *,
    force: bool,
    dry_run: bool,
) -> None:
    from penstock.flows.ci.manifests import plan_manifests, write_manifests

    kind, folder = manifest
    folder = session.directory / folder
    plan = plan_manifests(project, name, kind, folder, model=model, image=image, namespace=namespace)
    for note in plan.notes:
        session.note(f"note: {note}")
    if not dry_run:
        write_manifests(plan, force=force)
    done = "Would write" if dry_run else "Wrote"
    document = {
        "folder": str(folder),
        "files": sorted(plan.files),
        "applied": not dry_run,
        "notes": plan.notes,
    }
    session.emit(
        document,
        f"{done} {counted(len(plan.files), 'file')} to {folder}. Nothing was deployed; README.md says how.",
    )


def _carry_out(
    session: Session, project: Project, plan: DeploymentPlan, timeout_s: float | None, dry_run: bool
) -> None:
    from penstock.cli.production.endpoint import document_of
    from penstock.flows.production.awaiting import wait_until_served
    from penstock.flows.production.revising import apply_deployment, preview_changes

    changes: list[str] = []
    if plan.out is not None or plan.answered_for is not None:
        with project.database.read() as connection:
            changes = [one for one in preview_changes(connection, plan)[1:] if one not in plan.warnings]
    for warning in plan.warnings:
        session.note(f"warning: {warning}")
    if dry_run:
        document = {
            "endpoint": plan.endpoint,
            "summary": plan.summary,
            "applied": False,
            "changes": changes,
            "warnings": plan.warnings,
        }
        session.emit(document, "\n".join([f"Would: {plan.summary}.", *changes]))
        return
    revision = apply_deployment(project, plan)
    servers = None if timeout_s is None else wait_until_served(project, revision, timeout_s, session.note)
    document = {
        **document_of(revision),
        "summary": plan.summary,
        "applied": True,
        "servers": servers,
        "changes": changes,
        "warnings": plan.warnings,
    }
    told = [one for one in changes if not one.startswith("no serve process")]
    text = "\n".join([f"{plan.summary} (revision {revision.number}).", *told])
    if servers == 0:
        text += (
            "\nNo serve process is running: penstock serve; a watched service of your own follows by itself"
        )
    elif servers:
        text += f"\n{servers} serve process{'es' if servers > 1 else ''} took it over."
    session.emit(document, text)
