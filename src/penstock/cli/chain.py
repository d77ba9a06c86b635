"""Commands that walk the chain: `why`, `restore`, `log`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.base.numbers import counted
from penstock.cli.output import EXIT_FAILED, Session, json_option, pass_session

if TYPE_CHECKING:
    from penstock.flows.chain.restoring import Restored

FEATURES_MAX = 8
"""Features of a prediction that the terminal shows."""


@click.command()
@click.argument("subject")
@json_option
@pass_session
def why(session: Session, subject: str) -> None:
    """Explain whatever SUBJECT names, with what led to it and what came of it.

    A prediction id, MODEL/VERSION or MODEL@ALIAS, an endpoint or ENDPOINT#REVISION, a run, a commit or an experiment; a path
    that is or was tracked or that a stage makes, or an md5, or the beginning of one.
    """
    import msgspec

    from penstock.base.errors import NotFound
    from penstock.cli.printing import one_line
    from penstock.flows.chain.lineage import explain
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    try:
        found = explain(project, _from_root(session, project.root, subject))
    except NotFound as error:
        below = Path(os.path.normpath(session.directory / subject))  # of what is gone nothing is there
        if session.directory == project.root or not below.is_relative_to(project.root):
            raise
        try:
            found = explain(project, below.relative_to(project.root).as_posix())
        except NotFound:
            raise error from None

    def text() -> str:
        width = max(len(link.kind) for link in found.links)
        lines = []
        for link in found.links:
            key = (
                link.key
                if link.kind
                in {"model version", "taken out", "run", "verdict", "deployment", "prediction", "stage"}
                else ""
            )
            lines.append(f"{link.kind:{width}}  {key + '  ' if key else ''}{link.text}")
            for name in ("features", "outputs", "outlier", "label", "corrections", "checks"):
                value = link.details.get(name)
                if isinstance(value, list) and name in ("corrections", "checks"):
                    lines += [f"{'':{width}}    {check}" for check in value]
                elif isinstance(value, dict) and name == "features":
                    lines += [f"{'':{width}}    {one}" for one in _features(value)]
                elif value is not None:
                    value = value if name == "outlier" else _short(value)
                    lines.append(f"{'':{width}}    {name} {value}")
        return "\n".join(map(one_line, lines))

    session.emit(msgspec.to_builtins(found), text)


def _from_root(session: Session, root: Path, subject: str) -> str:
    """Return a path that was named from a subdirectory as the root sees it; anything else as it is."""
    path = session.directory / subject
    is_path = path.exists() or path.with_name(f"{path.name}.dvc").exists()
    if session.directory != root and is_path and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return subject


def _features(values: dict[str, Any]) -> list[str]:
    """Return the first of a prediction's features, a line each, and how many more there are."""
    lines = [f"feature {name} {_short(value)}" for name, value in list(values.items())[:FEATURES_MAX]]
    more = len(values) - FEATURES_MAX
    return [*lines, f"and {counted(more, 'more feature')}: --json has all"] if more > 0 else lines


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


@click.command()
@click.argument("subject")
@click.option(
    "--into", type=click.Path(path_type=Path), required=True, help="A directory that does not exist yet."
)
@json_option
@pass_session
@click.pass_context
def restore(context: click.Context, session: Session, subject: str, into: Path) -> None:
    """Bring back the code, data and model a subject stands on.

    SUBJECT is what `penstock why` takes. Of a run and a model version, what was not committed is
    brought back too. What cannot be brought back is told, and the exit code is 1; the rest is there.
    """
    from penstock.flows.chain.restoring import restore as restore_subject
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    done = restore_subject(project, _from_root(session, project.root, subject), session.directory / into)
    document = {
        "root": str(done.root),
        "commit": done.commit,
        "version": done.version,
        "outputs": done.output_count,
        "model": done.model,
        "uncommitted": done.uncommitted,
        "notes": done.notes,
        "missing": [{"what": one.what, "hint": one.hint} for one in done.lacks],
    }
    session.emit(document, lambda: _render(done))
    if done.lacks:
        context.exit(EXIT_FAILED)


def _render(done: Restored) -> str:
    from penstock.cli.printing import one_line

    what = f"{done.version} at " if done.version else ""
    lines = [f"{what}commit {done.commit[:10]} with {done.output_count} tracked paths is in {done.root}"]
    if done.model is not None:
        lines.append(f"model        {done.model}")
    if done.uncommitted:
        lines.append(f"uncommitted  {', '.join(done.uncommitted)}: as kept in the artifact store")
    lines += [f"note         {note}" for note in done.notes]
    for lack in done.lacks:
        lines += [f"missing      {lack.what}", *([f"{'':13}{lack.hint}"] if lack.hint else [])]
    lines.append(
        "Files that git ignored are not kept: a stage that reads some it does not name needs them again."
    )
    lines.append(f"Next: penstock -C {shlex.quote(str(done.root))} repro")
    return "\n".join(map(one_line, lines))


@click.command()
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=30, show_default=True, help="How many, newest last."
)
@click.option("--subject", help="Only this subject, such as endpoint:delay.")
@click.option("--kind", help="Only this kind, such as endpoint.rolled_back.")
@json_option
@pass_session
def log(session: Session, limit: int, subject: str | None, kind: str | None) -> None:
    """Show what happened, by whom and why."""
    import msgspec

    from penstock.base.clock import format_ms
    from penstock.base.store.events import list_events
    from penstock.cli.printing import one_line
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    with project.database.read() as connection:
        found = list_events(connection, subject=subject, kind=kind, limit=limit)
    lines = [
        f"{format_ms(event.time_ms)}  {event.kind:22}  {event.actor:18}  {event.summary}" for event in found
    ]
    session.emit(msgspec.to_builtins(found), "\n".join(map(one_line, lines)) or "Nothing happened yet.")
