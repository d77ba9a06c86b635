"""`penstock model delete` and `model restore`."""

from __future__ import annotations

import shlex

import click

from penstock.base.numbers import counted
from penstock.cli.output import Session, json_option, pass_session, require_yes


@click.command("delete")
@click.argument("reference", metavar="MODEL[/VERSION]")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@json_option
@pass_session
def model_delete(session: Session, reference: str, force: bool) -> None:
    """Take a version, or a whole model, away; numbers are not given again, `model restore` undoes it until a purge."""
    from penstock.flows.models.aliases import AliasPolicy
    from penstock.flows.models.removing import delete_model, delete_version
    from penstock.registry.names import parse_number
    from penstock.workspace import open_workspace

    name, slash, number = reference.partition("/")
    project = open_workspace(session.directory)
    if not force:
        what = f"{reference}{'' if slash else ' and all its versions'}"
        require_yes(
            f"Delete {what}?",
            f"this would delete {what}",
            "registry.needs_force",
            f"penstock model delete {shlex.quote(reference)} --force",
        )
    policy = AliasPolicy.of(project)
    with project.database.write() as connection:
        if slash:
            delete_version(connection, policy, name, parse_number(number), project.actor)
        else:
            delete_model(connection, policy, name, project.actor)
    session.emit(
        {"deleted": reference},
        f"{reference} was deleted; penstock model restore {shlex.quote(reference)} undoes it.",
    )


@click.command("restore")
@click.argument("reference", metavar="MODEL[/VERSION]")
@json_option
@pass_session
def model_restore(session: Session, reference: str) -> None:
    """Bring back a deleted version, or a deleted model with the versions that went with it; no aliases."""
    from penstock.registry.models import restore_model
    from penstock.registry.names import parse_number
    from penstock.registry.versions import restore_version
    from penstock.workspace import open_workspace

    name, slash, number = reference.partition("/")
    project = open_workspace(session.directory)
    with project.database.write() as connection:
        if slash:
            numbers = [parse_number(number)]
            restore_version(connection, name, numbers[0], project.actor)
        else:
            numbers = restore_model(connection, name, project.actor)
    restored = [f"{name}/{one}" for one in numbers]
    session.emit(
        {"restored": reference, "versions": restored},
        f"{reference} is back" + ("." if slash else f" with {counted(len(numbers), 'version')}."),
    )
