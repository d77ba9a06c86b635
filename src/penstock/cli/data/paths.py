"""`penstock move`, `unprotect` and `check-ignore`: commands about paths of the workspace."""

from __future__ import annotations

import os
from pathlib import Path

import click

from penstock.cli.data.targets import SOME_TARGETS, opened
from penstock.cli.data.text import render_advice
from penstock.cli.output import Session, json_option, pass_session


@click.command()
@click.argument("source")
@click.argument("target")
@json_option
@pass_session
def move(session: Session, source: str, target: str) -> None:
    """Move a tracked file or directory together with its pointer."""
    from penstock.flows.tracked.working_tree import move_path

    with opened(session) as repo:
        base = session.directory
        changed = move_path(repo, base / source, base / target)
        advice = render_advice(changed, base, with_git=repo.git_root() is not None)
        document = [repo.relative(path) for path in changed]
    session.emit(document, advice)


@click.command()
@SOME_TARGETS
@json_option
@pass_session
def unprotect(session: Session, targets: tuple[str, ...]) -> None:
    """Turn links into the cache back into files that can be edited."""
    from penstock.flows.tracked.working_tree import unprotect_paths

    with opened(session) as repo:
        count = unprotect_paths(repo, [session.directory / target for target in targets])
    session.emit({"unprotected": count}, "")


@click.command("check-ignore")
@click.argument("targets", nargs=-1)
@click.option("-d", "--details", is_flag=True, help="Show the deciding pattern of each path.")
@click.option("-a", "--all", "show_all", is_flag=True, hidden=True)
@click.option(
    "-n", "--non-matching", is_flag=True, help="Show paths that match nothing too (with --details)."
)
@click.option("--stdin", "use_stdin", is_flag=True, help="Read paths from standard input.")
@json_option
@click.pass_context
def check_ignore(
    context: click.Context,
    targets: tuple[str, ...],
    details: bool,
    show_all: bool,
    non_matching: bool,
    use_stdin: bool,
) -> None:
    """Show which paths .dvcignore excludes; exit 1 when none is."""
    import sys

    session = context.find_object(Session) or context.ensure_object(Session)
    if use_stdin == bool(targets):
        raise click.UsageError("give TARGETS or --stdin, not both")
    if (non_matching or show_all) and not details:
        raise click.UsageError("--non-matching and --all go with --details")
    names = [line.rstrip("\n") for line in sys.stdin] if use_stdin else list(targets)
    lines, document, matched = [], [], False
    with opened(session) as repo:
        for name in names:
            path = Path(os.path.normpath(session.directory / name))
            patterns = repo.ignore.explain(str(path), path.is_dir())
            is_ignored = repo.ignore.is_ignored(str(path), path.is_dir())
            matched = matched or is_ignored or (details and bool(patterns))
            document.append({"path": name, "ignored": is_ignored, "patterns": patterns})
            if details:
                shown = patterns or (["::"] if non_matching else [])
                lines += [f"{pattern}\t{name}" for pattern in (shown if show_all else shown[-1:])]
            elif is_ignored:
                lines.append(name)
    session.emit(document, "\n".join(lines))
    context.exit(0 if matched else 1)
