"""`penstock freeze` and `unfreeze`: stages and imports that stay as they are."""

from __future__ import annotations

import click

from penstock.cli.data.targets import opened
from penstock.cli.output import Session, json_option, pass_session


@click.command()
@click.argument("targets", nargs=-1, required=True)
@json_option
@pass_session
def freeze(session: Session, targets: tuple[str, ...]) -> None:
    """Leave stages and imports as they are until they are unfrozen."""
    _set(session, targets, is_frozen=True)


@click.command()
@click.argument("targets", nargs=-1, required=True)
@json_option
@pass_session
def unfreeze(session: Session, targets: tuple[str, ...]) -> None:
    """Let frozen stages and imports follow their inputs again."""
    _set(session, targets, is_frozen=False)


def _set(session: Session, targets: tuple[str, ...], *, is_frozen: bool) -> None:
    from penstock.flows.tracked.freezing import set_frozen

    with opened(session) as repo:
        changed = [
            repo.relative(path)
            for target in targets
            for path in set_frozen(repo, target, session.directory, is_frozen=is_frozen)
        ]
    session.emit(changed, "\n".join(f"Modified {name}" for name in changed) or "Nothing changed.")
