"""Users of a server that runs with `--auth`, and what they are granted; their tokens are in `token.py`.

These commands work on the store itself, so whoever can write it can make the first admin.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.base.errors import NotFound
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.tables import render_table

if TYPE_CHECKING:
    import sqlalchemy as sa

    from penstock.access.roles import Kind
    from penstock.project.project import Project

F = TypeVar("F", bound=Callable[..., Any])
ROLE = click.Choice(["none", "reader", "writer", "admin"])


def store_option(command: F) -> F:
    """Let a command take the address of the server's store."""
    return click.option(
        "--backend-store-uri", "store", help="The server's store; by default what penstock.yaml says."
    )(command)


def _password_options(command: F) -> F:
    command = click.option(
        "--password", help="At least 12 characters. Others can see it in the list of processes."
    )(command)
    return click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")(
        command
    )


def _resource_options(command: F) -> F:
    command = click.option("--experiment", help="An experiment, by id or name.")(command)
    return click.option("--model", help="A registered model, by name.")(command)


@contextmanager
def opened(session: Session, store: str | None) -> Iterator[Project]:
    """Open the project of a server, or of the store that is named."""
    from penstock.workspace import open_server

    project = open_server(session.directory, store=store)
    try:
        yield project
    finally:
        project.close()


@click.group()
def user() -> None:
    """Say who may call a server that asks for credentials (`penstock server --auth`).

    Roles: reader reads, writer also logs and registers, admin also deletes, renames and manages users; none has
    only what is granted. Who makes an experiment or model owns it: other writers read it and do not change it.
    """


@user.command("add")
@click.argument("name")
@click.option("--role", type=ROLE, required=True, help="What the user may do.")
@_password_options
@store_option
@json_option
@pass_session
def user_add(
    session: Session, name: str, role: str, password: str | None, password_stdin: bool, store: str | None
) -> None:
    """Add a user; without a password, one who uses tokens only."""
    from penstock.access.grants import list_grants
    from penstock.access.roles import parse_role
    from penstock.access.users import add_user

    secret = _password(password, password_stdin)
    with opened(session, store) as project, project.database.write() as connection:
        made = add_user(connection, name, parse_role(role), secret, project.actor)
        owned = [one for one in list_grants(connection, name) if one.role == "owner"]
    for one in owned:
        flag = f"--{one.kind} {shlex.quote(one.resource)}"
        session.note(
            f"{name} owns {one.kind} {one.resource}, which an earlier {name} made, and may change it: "
            f"penstock user revoke {shlex.quote(name)} {flag} --ownership takes that away, and leaves it to every "
            "writer"
        )
    session.emit(
        {
            "name": made.name,
            "role": made.role,
            "has_password": secret is not None,
            "owns": [{"kind": one.kind, "resource": one.resource} for one in owned],
        },
        f"Added {name} as {role}." + ("" if secret else f"\nNext: penstock token create {shlex.quote(name)}"),
    )


@user.command("list")
@store_option
@json_option
@pass_session
def user_list(session: Session, store: str | None) -> None:
    """List users."""
    from penstock.access.tokens import list_tokens
    from penstock.access.users import list_users
    from penstock.base.clock import now_ms

    with opened(session, store) as project, project.database.read() as connection:
        users, tokens = list_users(connection), list_tokens(connection)
    rows = [
        {
            "name": one.name,
            "role": one.role,
            "has_password": one.password_hash is not None,
            "tokens": sum(
                token.user == one.name and token.revoked_ms is None and not token.is_over(now_ms())
                for token in tokens
            ),
        }
        for one in users
    ]
    headers = ("name", "role", "password", "tokens")
    session.emit(
        rows,
        lambda: render_table(
            [
                (row["name"], row["role"], "yes" if row["has_password"] else "no", row["tokens"])
                for row in rows
            ],
            headers,
            none="No users yet: penstock user add NAME --role admin",
        ),
    )


@user.command("show")
@click.argument("name")
@store_option
@json_option
@pass_session
def user_show(session: Session, name: str, store: str | None) -> None:
    """Show a user's role and grants."""
    import msgspec

    from penstock.access.grants import list_grants
    from penstock.access.users import get_user

    with opened(session, store) as project, project.database.read() as connection:
        found, grants = get_user(connection, name), list_grants(connection, name)
    session.emit(
        {"name": name, "role": found.role, "grants": msgspec.to_builtins(grants)},
        lambda: "\n".join(
            [
                f"{name}: {found.role}",
                *(f"  {one.role} on {one.kind} {one.resource}" for one in grants),
            ]
        ),
    )


@user.command("modify")
@click.argument("name")
@click.option("--role", type=ROLE, help="What the user may do from now on.")
@_password_options
@store_option
@json_option
@pass_session
def user_modify(
    session: Session,
    name: str,
    role: str | None,
    password: str | None,
    password_stdin: bool,
    store: str | None,
) -> None:
    """Change a user's role or password; a running server knows at once."""
    from penstock.access.roles import parse_role
    from penstock.access.users import modify_user

    secret = _password(password, password_stdin)
    if role is None and secret is None:
        raise click.UsageError("say what to change: --role, --password or --password-stdin")
    with opened(session, store) as project, project.database.write() as connection:
        wanted = None if role is None else parse_role(role)
        changed = modify_user(connection, name, project.actor, role=wanted, password=secret)
    session.emit({"name": name, "role": changed.role}, f"{name} is {changed.role}.")


@user.command("remove")
@click.argument("name")
@store_option
@json_option
@pass_session
def user_remove(session: Session, name: str, store: str | None) -> None:
    """Remove a user with all tokens and grants; a running server knows at once."""
    from penstock.access.users import remove_user

    with opened(session, store) as project, project.database.write() as connection:
        remove_user(connection, name, project.actor)
    session.emit({"removed": name}, f"Removed {name}.")


@user.command("grant")
@click.argument("name")
@click.argument("role", type=ROLE)
@_resource_options
@store_option
@json_option
@pass_session
def user_grant(
    session: Session, name: str, role: str, experiment: str | None, model: str | None, store: str | None
) -> None:
    """Give a user a role on one experiment or model, in place of the user's own role there."""
    from penstock.access.grants import Grant, set_grant
    from penstock.access.roles import parse_role

    with opened(session, store) as project, project.database.write() as connection:
        kind, resource = _resource(connection, experiment, model)
        grant = Grant(user=name, kind=kind, resource=resource, role=parse_role(role))
        is_new = set_grant(connection, grant, project.actor)
    session.emit(
        {"user": name, "kind": kind, "resource": resource, "role": role},
        f"{name} is {role} on {kind} {resource}."
        if is_new
        else f"{name} owns {kind} {resource}, and so is {role} there already.",
    )


@user.command("revoke")
@click.argument("name")
@_resource_options
@click.option(
    "--ownership",
    "is_ownership",
    is_flag=True,
    help="Take away that the user owns it: nobody does then, and every writer may change it.",
)
@store_option
@json_option
@pass_session
def user_revoke(
    session: Session,
    name: str,
    experiment: str | None,
    model: str | None,
    is_ownership: bool,
    store: str | None,
) -> None:
    """Take a grant away; the user's own role holds again."""
    from penstock.access.grants import disown, remove_grant

    with opened(session, store) as project, project.database.write() as connection:
        kind, resource = _resource(connection, experiment, model)
        (disown if is_ownership else remove_grant)(connection, name, kind, resource, project.actor)
    session.emit(
        {"user": name, "kind": kind, "resource": resource},
        f"{kind} {resource} is owned by nobody now: every writer may change it."
        if is_ownership
        else f"{name} has no grant on {kind} {resource} any more.",
    )


def _password(given: str | None, from_stdin: bool) -> str | None:
    if given is not None and from_stdin:
        raise click.UsageError("--password and --password-stdin exclude each other")
    return sys.stdin.readline().rstrip("\r\n") if from_stdin else given


def _resource(connection: sa.Connection, experiment: str | None, model: str | None) -> tuple[Kind, str]:
    from penstock.registry.models import get_model
    from penstock.tracking.experiments import get_by_name, get_experiment

    if (experiment is None) == (model is None):
        raise click.UsageError("name one --experiment or one --model")
    if model is not None:
        return "model", get_model(connection, model).name
    text = str(experiment)
    try:
        found = (
            get_experiment(connection, int(text))
            if text.isascii() and text.isdigit()
            else get_by_name(connection, text)
        )
    except NotFound as error:
        error.hint = error.hint or "name it as the page of experiments does, by its name or id"
        raise
    return "experiment", str(found.id)
