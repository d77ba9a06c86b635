"""`penstock destroy` and `version`: leave, and say what is here."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import click

from penstock.base.errors import NotARepository
from penstock.cli.data.targets import opened
from penstock.cli.output import Session, json_option, pass_session, require_yes


@click.command()
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--drop-kept", is_flag=True, help="Remove also the copies in .dvc/tmp/penstock-kept.")
@json_option
@pass_session
def destroy(session: Session, force: bool, drop_kept: bool) -> None:
    """Remove pointers, .dvc, .dvcignore and with them the cache; the data of the workspace stay.

    A cache outside of the repository is left alone. Where commands kept work that exists nowhere else
    (.dvc/tmp/penstock-kept), it is named, and goes only with --drop-kept.
    """
    from penstock.flows.tracked.destroying import destroy_repository

    with opened(session) as repo:
        if not force:
            require_yes(
                f"Remove all pointers and the cache of {repo.root}?",
                f"destroy would remove every pointer and the cache of {repo.root}",
                "data.needs_force",
                "penstock destroy --force",
            )
        removed = [repo.relative(path) for path in destroy_repository(repo, drop_kept=drop_kept)]
    session.emit(removed, "\n".join(f"Removed {name}" for name in removed))


@click.command()
@json_option
@pass_session
def version(session: Session) -> None:
    """Show versions, the system, and what works in this repository."""
    from penstock import __version__
    from penstock.base.store.build import describe_build, told_build

    number, commit, schema = describe_build(__version__)
    facts: dict[str, Any] = {
        "penstock": number,
        "commit": commit or None,
        "schema": schema,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    try:
        with opened(session) as repo:
            facts |= {
                "root": str(repo.root),
                "cache": str(repo.cache.root),
                "cache_types": list(repo.link_kinds()),
                "links": _links(repo),
                "remotes": {name: values.get("url", "") for name, values in _remotes(repo).items()},
                "scm": "git" if repo.git_root() else None,
            }
    except NotARepository:
        pass
    lines = [
        f"Penstock version: {told_build(__version__)}",
        f"Platform: Python {facts['python']} on {facts['platform']}",
    ]
    if "root" in facts:
        lines += [
            f"Repository: {facts['root']} ({facts['scm'] or 'no scm'})",
            f"Cache: {facts['cache']}",
            f"Links to the cache: {facts['links']} (cache.type {','.join(facts['cache_types'])})",
            f"Remotes: {', '.join(f'{name} {url}' for name, url in facts['remotes'].items()) or 'none'}",
        ]
    session.emit(facts, "\n".join(lines))


def _links(repo: Any) -> str:
    """Return the kind of link that would be made now; making one proves it, once there is a cache."""
    from penstock.data.cache.placing import choose_kind

    if not repo.cache.root.is_dir():
        return "not tried, nothing is cached yet"

    return choose_kind(repo, Path(repo.root))


def _remotes(repo: Any) -> dict[str, dict[str, str]]:
    from penstock.storage.resolve import without_password

    return {
        name: {"url": without_password(values.get("url", ""))}
        for name, values in repo.config.remotes().items()
    }
