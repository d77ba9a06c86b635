"""Commands on the keys that verdicts are signed with."""

from __future__ import annotations

import click

from penstock.cli.output import Session, json_option, pass_session


@click.group()
def key() -> None:
    """Show, trust and renew the keys that verdicts are signed with."""


@key.command("show")
@json_option
@pass_session
def key_show(session: Session) -> None:
    """Print the public key that this machine signs with, and those it trusts; the first is made at first use."""
    from penstock.workspace import open_workspace

    keys = open_workspace(session.directory).keys
    own = keys.signing_key().public
    others = [one for one in keys.trusted.values() if one.id != own.id]
    document = {"key": own.text, "id": own.id, "trusted": [one.text for one in others]}
    lines = [own.text, *(f"trusted: {one.text}" for one in others)]
    session.emit(document, "\n".join(lines))
    session.note(
        "Where others check verdicts that are signed here, list it as `trusted_keys:` in penstock.yaml."
    )


@key.command("trust")
@click.argument("text", metavar="KEY")
@json_option
@pass_session
def key_trust(session: Session, text: str) -> None:
    """Let verdicts that KEY (ed25519:…) signed count on this machine; penstock.yaml is the place for all machines."""
    from penstock.workspace import open_workspace

    trusted = open_workspace(session.directory).keys.trust(text)
    session.emit({"key": trusted.text, "id": trusted.id}, f"The key {trusted.id[:16]} is trusted here now.")


@key.command("rotate")
@json_option
@pass_session
def key_rotate(session: Session) -> None:
    """Sign with a new key from now on; verdicts of the former one go on to hold on this machine."""
    from penstock.workspace import open_workspace

    former, made = open_workspace(session.directory).keys.rotate()
    session.emit(
        {"key": made.text, "id": made.id, "former": former.text},
        f"{made.text}\nThe former key {former.id[:16]} signs no more. What it signed holds here until "
        f"{former.id[:16]}.pub is deleted from .penstock/keys.",
    )
