"""Commands on tracked data: `init add status checkout commit diff remove root verify`.

Arguments, flags and JSON are DVC's; exit codes are Penstock's, except `status -q`, which is 1 on changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.data_text import by_change, render_changes, render_diff, render_status
from penstock.cli.output import Session, json_option, pass_session

if TYPE_CHECKING:
    from penstock.data.output import Output
    from penstock.data.repository import DataRepository

TARGETS = click.argument("targets", nargs=-1)
UP_TO_DATE = "Data and pipelines are up to date."


@contextmanager
def opened(session: Session) -> Iterator[DataRepository]:
    """Open the repository of the session's directory for a command."""
    from penstock.data.repository import DataRepository

    repo = DataRepository.open(session.directory)
    try:
        yield repo
    finally:
        repo.close()


def pipeline_outputs(root: Path) -> list[Output]:
    """Return the pipeline's outputs; nothing is imported where there is no pipeline."""
    if not (root / "dvc.yaml").exists():
        return []
    from penstock.pipeline.outputs import list_outputs

    return list_outputs(root)


@click.command()
@click.option("--no-scm", is_flag=True, help="Work without git.")
@click.option("--subdir", is_flag=True, help="Allow a subdirectory of a git repository.")
@click.option("-f", "--force", is_flag=True, help="Begin anew with empty settings; the cache is kept.")
@pass_session
def init(session: Session, no_scm: bool, subdir: bool, force: bool) -> None:
    """Make this directory a repository (DVC's layout)."""
    from penstock.data.creation import init_repository

    init_repository(session.directory, no_scm=no_scm, subdir=subdir, force=force)
    session.emit(
        {"root": str(session.directory)},
        f"Initialized a repository in {session.directory}.\nNext: penstock add DATA, then git commit.",
    )


@click.command()
@pass_session
def root(session: Session) -> None:
    """Print the repository's root, relative to the current directory."""
    import os

    from penstock.data.repository import find_root

    relative = os.path.relpath(find_root(session.directory), session.directory)
    session.emit({"root": relative}, relative)


@click.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Accepted for DVC's sake; outputs are always updated.")
@click.option("-j", "--jobs", type=int, help="Accepted for DVC's sake.")
@click.option("--glob", "use_glob", is_flag=True, help="Expand patterns in TARGETS.")
@json_option
@pass_session
def add(session: Session, targets: tuple[str, ...], force: bool, jobs: int | None, use_glob: bool) -> None:
    """Put files or directories under version control."""
    import glob
    import shlex

    from penstock.flows import data_workspace

    names = list(targets)
    if use_glob:
        names = [
            hit
            for name in names
            for hit in glob.glob(name, root_dir=session.directory, recursive=True) or [name]
        ]
    with opened(session) as repo:
        done = data_workspace.add(
            repo, [session.directory / name for name in names], lambda: pipeline_outputs(repo.root)
        )
        changed = dict.fromkeys(repo.relative(path) for one in done for path in one.changed)
        paths = [shlex.quote(path) for path in changed]
        document = [
            {
                "pointer": repo.relative(one.pointer),
                "md5": one.hash.md5,
                "size": one.hash.size,
                "nfiles": one.hash.nfiles,
            }
            for one in done
        ]
    text = (
        f"To track the changes with git, run:\n\n\tgit add {' '.join(paths)}" if paths else "Nothing changed."
    )
    session.emit(document, text)


@click.command()
@TARGETS
@click.option("-c", "--cloud", is_flag=True, help="Compare the cache with the remote.")
@click.option("-r", "--remote", help="Remote to compare with.")
@click.option("-j", "--jobs", type=int, default=0, help="Requests at once.")
@click.option("-q", "--quiet", "silent", is_flag=True, help="Print nothing; exit 1 when something changed.")
@json_option
@click.pass_context
def status(
    context: click.Context, targets: tuple[str, ...], cloud: bool, remote: str | None, jobs: int, silent: bool
) -> None:
    """Show what changed in tracked data and pipelines."""
    from penstock.flows import selection

    session = context.find_object(Session) or context.ensure_object(Session)
    with opened(session) as repo:
        if cloud or remote:
            from penstock.flows import versioning

            options = versioning.TransferOptions(remote=remote, jobs=jobs, base=session.directory)
            found: dict[str, Any] = versioning.cloud_status(
                repo, targets, lambda: pipeline_outputs(repo.root), options=options
            )
            clean = "Cache and remote are in sync."
        else:
            extra = _pipeline_status(repo, targets)
            known = tuple(target for target in targets if target not in extra) if targets else ()
            found = (
                dict(extra)
                if targets and not known
                else selection.status(repo, known, base=session.directory, extra=extra)
            )
            clean = UP_TO_DATE
    if silent or session.quiet:
        context.exit(1 if found else 0)
    session.emit(found, lambda: render_status(found) or clean)


def _pipeline_status(repo: DataRepository, targets: tuple[str, ...]) -> dict[str, list[Any]]:
    if not (repo.root / "dvc.yaml").exists():
        return {}
    from penstock.pipeline.definition import load_stages
    from penstock.pipeline.lockfile import load_lock
    from penstock.pipeline.status import stage_status

    locked = load_lock(repo.root)
    result = {}
    for stage in load_stages(repo.root):
        if targets and stage.name not in targets:
            continue
        document = stage_status(repo, repo.root, stage, locked.get(stage.name)).to_document()
        if document:
            result[stage.name] = document
    return result


@click.command()
@TARGETS
@click.option("-f", "--force", is_flag=True, help="Overwrite unsaved work, keeping a copy under .dvc/tmp.")
@click.option("--relink", is_flag=True, help="Make links or copies anew, as cache.type says now.")
@click.option("--summary", is_flag=True, help="Print only how many paths changed.")
@json_option
@pass_session
def checkout(session: Session, targets: tuple[str, ...], force: bool, relink: bool, summary: bool) -> None:
    """Bring the workspace to what pointers and lock say."""
    from penstock.flows import data_workspace

    with opened(session) as repo:
        changes = data_workspace.checkout(
            repo,
            targets,
            lambda: pipeline_outputs(repo.root),
            base=session.directory,
            force=force,
            relink=relink,
        )
    session.emit(by_change(changes), lambda: render_changes(changes, summary=summary))


@click.command()
@TARGETS
@click.option("-f", "--force", is_flag=True, help="Accepted for DVC's sake; there is no prompt.")
@json_option
@pass_session
def commit(session: Session, targets: tuple[str, ...], force: bool) -> None:
    """Record changed tracked data as the new state."""
    from penstock.flows import data_workspace

    with opened(session) as repo:
        done = data_workspace.commit(repo, targets, base=session.directory)
        document = [{"pointer": repo.relative(one.pointer), "md5": one.hash.md5} for one in done]
    session.emit(document, "\n".join(f"M       {one['pointer']}" for one in document) or "Nothing changed.")


@click.command()
@click.argument("a_rev", default="HEAD")
@click.argument("b_rev", required=False)
@click.option("--targets", multiple=True, help="Limit to a path (may be repeated).")
@click.option("--show-hash", is_flag=True, help="Show digests.")
@click.option("--hide-missing", is_flag=True, help="Hide what is not in the cache.")
@click.option("--md", "--show-md", "markdown", is_flag=True, help="Print a Markdown table.")
@json_option
@pass_session
def diff(
    session: Session,
    a_rev: str,
    b_rev: str | None,
    targets: tuple[str, ...],
    show_hash: bool,
    hide_missing: bool,
    markdown: bool,
) -> None:
    """Show what changed in tracked data between two revisions."""
    from penstock.flows import comparing

    with opened(session) as repo:
        found = comparing.compare_revisions(
            repo,
            a_rev,
            b_rev,
            targets=targets,
            extra_outputs=lambda: pipeline_outputs(repo.root),
        )
    if b_rev or hide_missing:
        found.pop("not in cache", None)
    if not show_hash:
        found = {
            kind: [{key: value for key, value in entry.items() if key != "hash"} for entry in entries]
            for kind, entries in found.items()
        }
    session.emit(found, lambda: render_diff(found, markdown=markdown))


@click.command()
@click.argument("targets", nargs=-1, required=True)
@click.option("--outs", is_flag=True, help="Delete the data from the workspace too.")
@json_option
@pass_session
def remove(session: Session, targets: tuple[str, ...], outs: bool) -> None:
    """Stop tracking: delete pointers and their .gitignore entries."""
    from penstock.flows import data_workspace

    with opened(session) as repo:
        changed = data_workspace.remove(repo, targets, base=session.directory, with_data=outs)
        document = [repo.relative(path) for path in changed]
    session.emit(document, "")


@click.command()
@TARGETS
@json_option
@click.pass_context
def verify(context: click.Context, targets: tuple[str, ...]) -> None:
    """Read every cached object of tracked data; exit 1 when one is missing or damaged."""
    from penstock.data.verification import verify_cache
    from penstock.flows.selection import select

    session = context.find_object(Session) or context.ensure_object(Session)
    with opened(session) as repo:
        chosen = select(repo, targets, lambda: pipeline_outputs(repo.root), base=session.directory)
        hashes = [one.output.hash for one in chosen if one.output.hash is not None and one.output.cached]
        found = verify_cache(repo, hashes)
    lines = [f"missing  {md5}" for md5 in found.missing] + [f"damaged  {md5}" for md5 in found.damaged]
    lines.append(
        f"{found.checked} objects read"
        + (": all sound" if found.is_sound else "; remove damaged ones, then penstock fetch")
    )
    document = {"checked": found.checked, "missing": found.missing, "damaged": found.damaged}
    session.emit(document, "\n".join(lines))
    context.exit(0 if found.is_sound else 1)
