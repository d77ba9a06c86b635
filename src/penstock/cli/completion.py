"""`penstock completion`, and what the shell asks while someone types."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.base.errors import NotFound
from penstock.cli.main import COMPLETE, cli
from penstock.cli.output import Session, pass_session

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.option("-s", "--shell", type=click.Choice(SHELLS), help="The shell; by default the one of $SHELL.")
@pass_session
def completion(session: Session, shell: str | None) -> None:
    """Print a script that completes commands, flags and names at the shell's prompt.

    For bash: penstock completion -s bash > ~/.local/share/bash-completion/completions/penstock
    """
    from click.shell_completion import get_completion_class

    from penstock.workspace import environment

    name = shell or Path(environment().get("SHELL", "")).name
    kind = get_completion_class(name) if name in SHELLS else None
    if kind is None:
        raise NotFound(
            f"no completion for the shell {name!r}" if name else "$SHELL names no shell",
            code="completion.unknown_shell",
            hint=f"penstock completion -s {SHELLS[0]}, or one of {', '.join(SHELLS[1:])}",
        )
    script = kind(cli, {}, "penstock", COMPLETE).source_vars()
    text = (kind.source_template % script).strip()
    session.emit({"shell": name, "script": text}, text)
