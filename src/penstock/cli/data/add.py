"""`penstock add`: track what is here, what is copied here first, or what goes straight to a remote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from penstock.cli.data.imports import target_of
from penstock.cli.data.targets import GLOB, SOME_TARGETS, complete_remotes, opened
from penstock.cli.data.text import render_advice
from penstock.cli.output import Session, json_option, pass_session

if TYPE_CHECKING:
    from penstock.data.repository import DataRepository
    from penstock.data.verbs.adding import Added


class AddFlags(TypedDict):
    """How targets are added."""

    force: bool
    jobs: int | None
    use_glob: bool
    out: str | None
    to_remote: bool
    remote: str | None
    remote_jobs: int
    no_commit: bool
    no_relink: bool


@click.command()
@SOME_TARGETS
@click.option("-f", "--force", is_flag=True, help="Replace what is at --out.")
@click.option("-j", "--jobs", type=int, help="Accepted for DVC's sake.", hidden=True)
@GLOB
@click.option(
    "-o", "--out", type=click.Path(), help="Copy the target (a path or a URL) there, and track that."
)
@click.option("--to-remote", is_flag=True, help="Send the target straight to a remote; nothing stays here.")
@click.option("-r", "--remote", shell_complete=complete_remotes, help="The remote for --to-remote.")
@click.option(
    "--remote-jobs", type=click.IntRange(min=0), default=0, help="Objects at once with --to-remote."
)
@click.option(
    "--no-commit", is_flag=True, help="Write pointers only; penstock commit stores the content later."
)
@click.option("--no-relink", is_flag=True, help="Leave files as they are, even where links are configured.")
@json_option
@pass_session
def add(session: Session, /, targets: tuple[str, ...], **flags: Unpack[AddFlags]) -> None:
    """Put files or directories under version control."""
    _check(targets, flags)
    with opened(session) as repo:
        if flags["to_remote"]:
            _send(session, repo, targets[0], flags)
            return
        _emit_added(session, repo, _add(session, repo, targets, flags))


def _check(targets: tuple[str, ...], flags: AddFlags) -> None:
    elsewhere = flags["to_remote"] or flags["out"]
    if elsewhere and (len(targets) > 1 or flags["use_glob"]):
        raise click.UsageError("--out and --to-remote take one target")
    if flags["to_remote"] and flags["no_commit"]:
        raise click.UsageError("--to-remote and --no-commit exclude each other")
    if elsewhere and flags["no_commit"] and flags["out"]:
        raise click.UsageError("--out and --no-commit exclude each other")
    if not flags["to_remote"] and (flags["remote"] or flags["remote_jobs"]):
        raise click.UsageError("--remote and --remote-jobs go with --to-remote")


def _add(session: Session, repo: DataRepository, targets: tuple[str, ...], flags: AddFlags) -> list[Added]:
    if flags["out"]:
        from penstock.data.pointers.pointer import pointer_path
        from penstock.flows.sources.to_remote import add_from

        target = Path(os.path.normpath(session.directory / flags["out"]))
        if not (flags["force"] and pointer_path(target).is_file()):  # what is tracked is replaced as a whole
            target = target_of(session, targets[0], flags["out"])
        return add_from(repo, targets[0], target, session.directory, force=flags["force"])
    from penstock.flows.tracked import working_tree

    paths = [session.directory / name for name in _expand(session.directory, targets, flags["use_glob"])]
    return working_tree.add(repo, paths, store=not flags["no_commit"], relink=not flags["no_relink"])


def _expand(base: Path, targets: tuple[str, ...], use_glob: bool) -> list[str]:
    if not use_glob:
        return list(targets)
    import glob

    return [hit for name in targets for hit in glob.glob(name, root_dir=base, recursive=True) or [name]]


def _send(session: Session, repo: DataRepository, source: str, flags: AddFlags) -> None:
    from penstock.flows.sources.to_remote import add_to_remote

    pointer = add_to_remote(
        repo,
        source,
        target_of(session, source, flags["out"]),
        session.directory,
        remote=flags["remote"],
        jobs=flags["remote_jobs"],
    )
    advice = render_advice([pointer], session.directory, with_git=repo.git_root() is not None)
    session.emit({"pointer": repo.relative(pointer)}, advice)


def _emit_added(session: Session, repo: DataRepository, done: list[Added]) -> None:
    changed = [path for one in done for path in one.changed]
    document = [
        {
            "pointer": repo.relative(one.pointer),
            "md5": one.hash.md5,
            "size": one.hash.size,
            "nfiles": one.hash.nfiles,
        }
        for one in done
    ]
    with_git = repo.git_root() is not None
    session.emit(
        document,
        render_advice(changed, session.directory, with_git=with_git) if changed else "Nothing changed.",
    )
