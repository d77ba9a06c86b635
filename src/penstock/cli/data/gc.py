"""`penstock gc`: collect objects nobody needs, with a trash and an undo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from penstock.base.numbers import counted
from penstock.cli.data.targets import complete_remotes, opened
from penstock.cli.output import Session, json_option, pass_session, require_yes

if TYPE_CHECKING:
    from penstock.data.repository import DataRepository


class GcFlags(TypedDict):
    """What to keep, where to collect and how."""

    workspace: bool
    rev: str | None
    num: int | None
    all_branches: bool
    all_tags: bool
    all_commits: bool
    since: str | None
    all_experiments: bool
    not_in_remote: bool
    cloud: bool
    remote: str | None
    skip_failed: bool
    force: bool
    jobs: int
    projects: tuple[str, ...]
    dry: bool
    grace_s: float | None


def _scope_options(command: Any) -> Any:
    for option in (
        click.option("-w", "--workspace", is_flag=True, help="Keep what the workspace needs (always kept)."),
        click.option("--rev", metavar="COMMIT", help="Keep what this commit needs."),
        click.option("-n", "--num", type=int, help="Keep the last NUM commits of --rev or each branch."),
        click.option("-a", "--all-branches", is_flag=True, help="Keep what the tips of all branches need."),
        click.option("-T", "--all-tags", is_flag=True, help="Keep what all tags need."),
        click.option("-A", "--all-commits", is_flag=True, help="Keep what all commits need."),
        click.option("--date", "since", metavar="YYYY-MM-DD", help="Keep what commits since then need."),
        click.option("--all-experiments", is_flag=True, help="Keep what all experiments need."),
    ):
        command = option(command)
    return command


@click.command()
@_scope_options
@click.option("--not-in-remote", is_flag=True, help="Keep only what is not on the remote.")
@click.option("-c", "--cloud", is_flag=True, help="Collect on the remote too.")
@click.option("-r", "--remote", shell_complete=complete_remotes, help="The remote to collect on.")
@click.option("--skip-failed", is_flag=True, help="Leave out old pointers that cannot be read.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("-j", "--jobs", type=click.IntRange(min=0), default=0, help="Requests at once.")
@click.option(
    "-p", "--projects", multiple=True, type=click.Path(), help="Keep what these repositories need too."
)
@click.option("--dry", is_flag=True, help="Show what would go; change nothing.")
@click.option("--grace", "grace_s", type=float, help="Keep objects younger than this many seconds.")
@click.option("--undo", is_flag=True, help="Bring back what the last collection took from the cache.")
@click.option("--empty-trash", is_flag=True, help="Delete for good what earlier collections took.")
@json_option
@pass_session
def gc(session: Session, /, undo: bool, empty_trash: bool, **options: Unpack[GcFlags]) -> None:
    """Collect unused objects from the cache (into a trash) or a remote.

    On a remote, and in a cache outside the repository, objects younger than an hour stay unless --grace
    says otherwise: somebody may be storing them just now.
    """
    from penstock.data.cache import garbage
    from penstock.data.lock import repository_lock

    with opened(session) as repo:
        if undo or empty_trash:
            with repository_lock(repo):
                count = garbage.undo_removal(repo) if undo else garbage.empty_trash(repo, 0)
            what = (
                f"{counted(count, 'object is', 'objects are')} back."
                if undo
                else f"{counted(count, 'collection')} deleted."
            )
            session.emit({"undone" if undo else "deleted": count}, what)
            return
        _collect(session, repo, options)


def _collect(session: Session, repo: DataRepository, options: GcFlags) -> None:
    from penstock.flows.tracked.collecting import GarbageOptions, collect_garbage
    from penstock.flows.tracked.history import Scope

    _check(options)
    scope = Scope(
        branches=options["all_branches"],
        tags=options["all_tags"],
        commits=options["all_commits"],
        experiments=options["all_experiments"],
        revision=options["rev"],
        count=1 if options["num"] is None else options["num"],
        since=options["since"],
    )
    chosen = GarbageOptions(
        scope,
        cloud=options["cloud"],
        not_in_remote=options["not_in_remote"],
        remote=options["remote"],
        projects=tuple(session.directory / Path(path) for path in options["projects"]),
        grace_s=options["grace_s"],
        force=options["force"],
        skip_failed=options["skip_failed"],
        jobs=options["jobs"],
        dry=options["dry"],
    )
    if not options["dry"] and not options["force"]:
        _confirm(collect_garbage(repo, replace(chosen, dry=True)))
    plan = collect_garbage(repo, chosen)
    document = {"dry": chosen.dry, "cache": _document(plan.cache)}
    if plan.remote is not None:
        document["remote"] = _document(plan.remote)
    session.emit(document, lambda: _render(plan, dry=chosen.dry))


def _check(options: GcFlags) -> None:
    kept = (
        options["workspace"],
        options["rev"],
        options["all_branches"],
        options["all_tags"],
        options["all_commits"],
        options["since"],
        options["all_experiments"],
    )
    if not any(kept):
        raise click.UsageError("say what to keep: -w, -a, -T, -A, --rev, --date or --all-experiments")
    if options["num"] is not None and not (options["rev"] or options["all_branches"]):
        raise click.UsageError("--num goes with --rev or --all-branches")
    if options["remote"] and not (options["cloud"] or options["not_in_remote"]):
        raise click.UsageError("--remote goes with --cloud or --not-in-remote")
    if options["cloud"] and options["not_in_remote"]:
        raise click.UsageError("--cloud and --not-in-remote exclude each other")


def _confirm(plan: Any) -> None:
    if not plan.cache.objects and not (plan.remote and plan.remote.objects):
        return
    objects = counted(_count(plan), "object")
    require_yes(
        f"Remove {objects}?",
        f"gc would remove {objects}",
        "data.needs_force",
        "penstock gc --dry shows them, penstock gc -f removes them",
    )


def _count(plan: Any) -> int:
    return len(plan.cache.objects) + (len(plan.remote.objects) if plan.remote else 0)


def _document(removal: Any) -> dict[str, Any]:
    return {
        "where": removal.where,
        "removed": [one.md5 for one in removal.objects if one.md5],
        "bytes": removal.total_bytes,
        "kept": removal.kept_count,
        "too_young": removal.fresh_count,
    }


def _render(plan: Any, *, dry: bool) -> str:
    lines = []
    verb = "Would remove" if dry else "Removed"
    for name, removal in (("cache", plan.cache), ("remote", plan.remote)):
        if removal is None:
            continue
        count = len(removal.objects)
        size = f"{removal.total_bytes / 1e6:.1f} MB"
        lines.append(
            f"{verb} {counted(count, 'object')} ({size}) from the {name}."
            if count
            else f"No unused objects in the {name}."
        )
        if dry:
            lines += [f"    {one.md5 or one.place}" for one in removal.objects]
        if removal.fresh_count:
            lines.append(f"{removal.fresh_count} unused objects are too young (--grace 0 takes them too).")
    if plan.cache.objects and not dry:
        lines.append("penstock gc --undo brings the cache's back; --empty-trash frees their space now.")
    return "\n".join(lines)
