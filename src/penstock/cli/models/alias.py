"""Commands that point names such as `champion` at model versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.tables import render_table

if TYPE_CHECKING:
    from penstock.flows.models.aliases import PromotionPlan


@click.command()
@click.argument("reference", metavar="MODEL")
@click.option("--alias", default="champion", show_default=True, help="The alias to move.")
@click.option(
    "--force",
    is_flag=True,
    help="Also a version that was rolled back, or that gates refused which are not set any more; --reason says why it may.",
)
@click.option("--reason", help="Why such a version may be promoted.")
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@json_option
@pass_session
def promote(
    session: Session, reference: str, alias: str, force: bool, reason: str | None, dry_run: bool
) -> None:
    """Move an alias to a version (NAME/3 or NAME@challenger) that passed its gate."""
    if force and not reason:
        raise click.UsageError("--force needs --reason TEXT")
    from penstock.flows.models.aliases import apply_promotion, plan_promotion
    from penstock.flows.production.traffic.straying import strays_from
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    plan = plan_promotion(project, reference, alias, force_reason=(reason or "") if force else "")
    _warn(session, plan)
    if not (dry_run or plan.changes_nothing):
        apply_promotion(project, plan)
    document = {
        "version": plan.version.ref,
        "alias": alias,
        "previous": plan.previous,
        "verdict": plan.verdict.id if plan.verdict else None,
        "applied": not (dry_run or plan.changes_nothing),
        "warnings": plan.warnings,
    }
    with project.database.read() as connection:
        strays = strays_from(
            connection,
            project.artifacts,
            (plan.version.model, alias),
            plan.version.number,
            would_move=dry_run and not plan.is_there,
        )
    verb = "is already" if plan.is_there else "would be" if dry_run else "is now"
    text = "\n".join([f"{plan.version.ref} {verb} {alias}.", *strays])
    session.emit({**document, "endpoints": strays}, text)


def _warn(session: Session, plan: PromotionPlan) -> None:
    for warning in plan.warnings:
        session.note(f"warning: {warning}")


@click.group()
def alias() -> None:
    """Point names such as `champion` at model versions."""


@alias.command("set")
@click.argument("name", metavar="MODEL@ALIAS")
@click.argument("version", type=click.IntRange(min=1))
@pass_session
def alias_set(session: Session, name: str, version: int) -> None:
    """Point MODEL@ALIAS at a version; a protected alias needs a passing verdict, as with promote."""
    from penstock.flows.models.aliases import apply_promotion, plan_promotion
    from penstock.flows.production.traffic.straying import strays_from
    from penstock.workspace import open_workspace

    registered, label = _split(name)
    project = open_workspace(session.directory)
    plan = plan_promotion(project, f"{registered}/{version}", label)
    _warn(session, plan)
    if not plan.changes_nothing:
        apply_promotion(project, plan)
    with project.database.read() as connection:
        strays = strays_from(connection, project.artifacts, (registered, label), version)
    verb = "is already" if plan.is_there else "is now"
    session.emit(
        {"version": plan.version.ref, "alias": label, "endpoints": strays},
        "\n".join([f"{plan.version.ref} {verb} {label}.", *strays]),
    )


@alias.command("delete")
@click.argument("name", metavar="MODEL@ALIAS")
@pass_session
def alias_delete(session: Session, name: str) -> None:
    """Take MODEL@ALIAS away; its history stays."""
    from penstock.flows.models.aliases import delete_alias
    from penstock.workspace import open_workspace

    registered, label = _split(name)
    delete_alias(open_workspace(session.directory), registered, label)
    session.emit({"model": registered, "alias": label}, f"{name} was taken away.")


@alias.command("list")
@click.argument("name", required=False)
@json_option
@pass_session
def alias_list(session: Session, name: str | None) -> None:
    """List where each alias points, of one model NAME or of all, and since when."""
    import msgspec

    from penstock.base.clock import format_ms
    from penstock.registry.aliases import list_last_moves
    from penstock.registry.models import get_model
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        if name is not None:
            get_model(connection, name)
        moves = list_last_moves(connection, name)

    def text() -> str:
        rows: list[tuple[object, ...]] = [
            (
                f"{move.model}@{move.name}",
                f"{move.model}/{move.version}",
                format_ms(move.time_ms),
                move.actor,
                move.verdict_id or "-",
            )
            for move in moves
        ]
        headers = ("alias", "version", "since", "who", "verdict")
        return render_table(rows, headers, none="No aliases yet: penstock promote MODEL/VERSION")

    session.emit([msgspec.to_builtins(move) for move in moves], text)


@alias.command("history")
@click.argument("name", metavar="MODEL@ALIAS")
@json_option
@pass_session
def alias_history(session: Session, name: str) -> None:
    """Show every move of MODEL@ALIAS: when, who, and on which verdict."""
    import msgspec

    from penstock.base.clock import format_ms
    from penstock.registry.aliases import list_alias_moves
    from penstock.workspace import open_workspace

    registered, label = _split(name)
    project = open_workspace(session.directory)
    with project.database.read() as connection:
        moves = list_alias_moves(connection, registered, label)

    def text() -> str:
        rows: list[tuple[object, ...]] = [
            (
                format_ms(move.time_ms),
                f"{registered}/{move.version}" if move.version else "taken away",
                f"{registered}/{move.previous}" if move.previous else "-",
                move.actor,
                move.verdict_id or "-",
                "rollback" if (move.cause or {}).get("rollback") else "-",
            )
            for move in moves
        ]
        headers = ("time", "version", "before", "who", "verdict", "cause")
        return render_table(rows, headers, none=f"{name} was never set.")

    session.emit([msgspec.to_builtins(move) for move in moves], text)


def _split(name: str) -> tuple[str, str]:
    registered, at, label = name.partition("@")
    if not (registered and at and label):
        raise click.UsageError(f"{name!r}: write MODEL@ALIAS")
    return registered, label
