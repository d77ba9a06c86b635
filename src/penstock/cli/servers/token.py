"""Tokens of the users of a server that runs with `--auth`: made, listed and revoked in the store itself."""

from __future__ import annotations

import click

from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.servers.ending import End
from penstock.cli.servers.user import opened, store_option
from penstock.cli.tables import render_table


@click.group()
def token() -> None:
    """Make and revoke the tokens of users (MLFLOW_TRACKING_TOKEN)."""


@token.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["infer", "feedback", "load", "metrics"]),
    multiple=True,
    help="Narrow it to serve processes, and there to this; may be repeated.",
)
@click.option(
    "--endpoint", "endpoints", multiple=True, help="Narrow its scopes to this endpoint; may be repeated."
)
@click.option(
    "--expires",
    "expires_ms",
    type=End(),
    metavar="TIME",
    help="When it ends: 12h, 90d, or a date or time (UTC where it says nothing else). By default when it is revoked.",
)
@store_option
@json_option
@pass_session
def token_create(
    session: Session,
    name: str,
    scopes: tuple[str, ...],
    endpoints: tuple[str, ...],
    expires_ms: int | None,
    store: str | None,
) -> None:
    """Make a token for a user and print it; it cannot be shown again.

    It may do what its user may, or less with --scope.
    """
    from penstock.access.scopes import SCOPES_OF_ROLE, parse_scope
    from penstock.access.tokens import create_token
    from penstock.access.users import get_user
    from penstock.base.clock import format_ms

    wanted = tuple(parse_scope(one) for one in scopes)
    with opened(session, store) as project, project.database.write() as connection:
        made, text = create_token(
            connection, name, project.actor, scopes=wanted, endpoints=endpoints, expires_ms=expires_ms
        )
        role = get_user(connection, name).role
    for scope in wanted:
        if scope not in SCOPES_OF_ROLE[role]:
            session.note(
                f"warning: {name} is {role}, and {scope} needs more: the token opens it only for models where {name} is "
                "granted that (penstock user grant)"
            )
    until = "" if expires_ms is None else f", until {format_ms(expires_ms)}"
    session.note(f"Token {made.id} of {name}{until}; it is shown this once:")
    session.emit({"id": made.id, "user": name, "token": text, "expires_ms": expires_ms}, text)


@token.command("list")
@click.argument("name", required=False)
@store_option
@json_option
@pass_session
def token_list(session: Session, name: str | None, store: str | None) -> None:
    """List the tokens of one user or of all."""
    import msgspec

    from penstock.access.tokens import list_tokens
    from penstock.base.clock import format_ms

    with opened(session, store) as project, project.database.read() as connection:
        found = list_tokens(connection, name)
    rows: list[tuple[object, ...]] = [
        (
            one.id,
            one.user,
            " ".join(one.scopes or ("everything",))
            + (f" on {' '.join(one.endpoints)}" if one.endpoints else ""),
            format_ms(one.created_ms),
            *(
                "" if moment is None else format_ms(moment)
                for moment in (one.used_ms, one.expires_ms, one.revoked_ms)
            ),
        )
        for one in found
    ]
    session.emit(
        msgspec.to_builtins(found),
        lambda: render_table(
            rows,
            ("id", "user", "for", "made", "last used", "ends", "revoked"),
            none="No tokens yet: penstock token create NAME",
        ),
    )


@token.command("revoke")
@click.argument("token_")
@store_option
@json_option
@pass_session
def token_revoke(session: Session, token_: str, store: str | None) -> None:
    """Revoke a token, by its id or the token itself; a running server knows at once."""
    from penstock.access.tokens import revoke_token

    with opened(session, store) as project, project.database.write() as connection:
        gone = revoke_token(connection, token_, project.actor)
    session.emit({"id": gone.id, "user": gone.user}, f"Revoked token {gone.id} of {gone.user}.")
