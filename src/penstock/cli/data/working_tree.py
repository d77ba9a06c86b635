"""Commands on tracked data: `init status checkout commit diff remove root`.

Arguments, flags and JSON are DVC's; exit codes are Penstock's, except `status -q`, which is 1 on changes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Unpack

import click

from penstock.cli.data.targets import (
    SOME_TARGETS,
    TARGETS,
    HistoryFlags,
    ReachFlags,
    complete_remotes,
    history_options,
    lists_of,
    opened,
    reach_options,
    scope_of,
    widened,
)
from penstock.cli.data.text import (
    by_change,
    render_changes,
    render_diff,
    render_status,
    render_summary,
    shown_paths,
)
from penstock.cli.many_values import ManyValues
from penstock.cli.output import Session, json_option, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from penstock.base.errors import PenstockError
    from penstock.data.pointers.pointer import Pointer
    from penstock.data.repository import DataRepository
    from penstock.flows.tracked.selection import Chosen

UP_TO_DATE = "Data and pipelines are up to date."


@click.command()
@click.option("--no-scm", is_flag=True, help="Work without git.")
@click.option("--subdir", is_flag=True, help="Allow a subdirectory of a git repository.")
@click.option("-f", "--force", is_flag=True, help="Begin anew with empty settings; the cache is kept.")
@click.option(
    "--project", is_flag=True, help="Write a commented penstock.yaml too, as `penstock start` proposes it."
)
@json_option
@pass_session
def init(session: Session, no_scm: bool, subdir: bool, force: bool, project: bool) -> None:
    """Make this directory a repository (DVC's layout)."""
    from penstock.data.verbs.creation import init_repository

    init_repository(session.directory, no_scm=no_scm, subdir=subdir, force=force)
    document = {"root": str(session.directory)}
    text = f"Initialized a repository in {session.directory}."
    if project:
        from penstock.cli.setup import plan_of
        from penstock.flows.setup.writing import apply_settings

        plan = plan_of(session)
        apply_settings(plan, force=force)
        document["settings"] = plan.path.name
        text += "".join(f"\nnote: {note}" for note in plan.notes) + f"\nWrote {plan.path.name}."
    session.emit(document, f"{text}\nNext: penstock add DATA" + ("" if no_scm else ", then git commit."))


@click.command()
@pass_session
def root(session: Session) -> None:
    """Print the repository's root, relative to the current directory."""
    import os

    from penstock.data.repository import find_root

    relative = os.path.relpath(find_root(session.directory), session.directory)
    session.emit({"root": relative}, relative)


class StatusFlags(ReachFlags, HistoryFlags):
    """The options of `status` that its two kinds share or have alone."""

    remote: str | None
    jobs: int
    no_updates: bool


class CheckoutFlags(ReachFlags):
    """The options of `checkout` that the flow takes as they are, and its reach."""

    force: bool
    relink: bool
    allow_missing: bool


class CommitFlags(ReachFlags):
    """The options of `commit` besides `--no-relink`."""

    force: bool


@click.command()
@TARGETS
@click.option("-c", "--cloud", is_flag=True, help="Compare the cache with the remote.")
@click.option("-r", "--remote", shell_complete=complete_remotes, help="Remote to compare with.")
@click.option("-j", "--jobs", type=click.IntRange(min=0), default=0, help="Requests at once.")
@history_options
@reach_options
@click.option("--no-updates", is_flag=True, help="Do not ask the sources of imports.")
@click.option(
    "--why", is_flag=True, help="Say why each stage would run: values, lines and files that changed."
)
@click.option("-q", "--quiet", "silent", is_flag=True, help="Print nothing; exit 1 when something changed.")
@json_option
@click.pass_context
def status(
    context: click.Context,
    /,
    targets: tuple[str, ...],
    cloud: bool,
    silent: bool,
    why: bool,
    **flags: Unpack[StatusFlags],
) -> None:
    """Show what changed in tracked data and pipelines."""
    session = context.find_object(Session) or context.ensure_object(Session)
    with opened(session) as repo:
        if why:
            if cloud or silent or flags["remote"]:
                raise click.UsageError("--why is about stages: it goes without --cloud, --remote and --quiet")
            _emit_why(session, repo, targets)
            return
        if cloud or flags["remote"]:
            found: dict[str, Any] = _cloud_status(session, repo, targets, flags)
            depth, clean = 1, "Cache and remote are in sync."
        else:
            if flags["jobs"] or any((flags["all_branches"], flags["all_tags"], flags["all_commits"])):
                raise click.UsageError("--all-branches, --all-tags, --all-commits and --jobs go with --cloud")
            found = _workspace_status(session, repo, targets, flags)
            depth, clean = 0, UP_TO_DATE
    if silent or session.quiet:
        context.exit(1 if found else 0)
    session.emit(found, lambda: render_status(found, depth) or clean)


def _emit_why(session: Session, repo: DataRepository, targets: tuple[str, ...]) -> None:
    from penstock.flows.pipelines.explaining import explain, render

    found, known = explain(repo, targets, session.directory)
    unknown = [target for target in targets if target not in known]
    if unknown:
        from penstock.flows.pipelines.status import shown_address
        from penstock.pipeline.definition import load_all_stages
        from penstock.pipeline.targets import no_stage

        stages = load_all_stages(repo)
        raise no_stage(unknown[0], [shown_address(repo, stage, session.directory) for stage in stages])
    document = {stage: [reason.to_document() for reason in reasons] for stage, reasons in found.items()}
    session.emit(document, lambda: render(found) or UP_TO_DATE)


def _cloud_status(
    session: Session, repo: DataRepository, targets: tuple[str, ...], flags: StatusFlags
) -> dict[str, str]:
    from penstock.flows.tracked.remotes.cloud import cloud_status
    from penstock.flows.tracked.remotes.transferring import TransferOptions

    options = TransferOptions(flags["remote"], flags["jobs"], session.directory, scope_of(flags))
    chosen = widened(session, repo, targets, recursive=flags["recursive"], with_deps=flags["with_deps"])
    return cloud_status(repo, chosen, options=options)


def _workspace_status(
    session: Session, repo: DataRepository, targets: tuple[str, ...], flags: StatusFlags
) -> dict[str, Any]:
    from penstock.flows.tracked import selection

    find_behind = None if flags["no_updates"] else lambda pointers: _behind(session, repo, pointers)
    if targets and (flags["recursive"] or flags["with_deps"]):
        chosen = widened(session, repo, targets, recursive=flags["recursive"], with_deps=flags["with_deps"])
        stages = _stage_targets(session, repo, chosen)
        extra = _pipeline_status(session, repo, stages)[0] if stages else {}
        return selection.status(repo, chosen, base=session.directory, extra=extra, find_behind=find_behind)
    extra, known = _pipeline_status(session, repo, targets)
    rest = tuple(target for target in targets if target not in known)
    if targets and not rest:
        return extra
    return selection.status(repo, rest, base=session.directory, extra=extra, find_behind=find_behind)


def _stage_targets(session: Session, repo: DataRepository, chosen: Sequence[str | Chosen]) -> tuple[str, ...]:
    """Return targets as words: those that were widened to a stage's outputs by the stage's name."""
    sources = [one if isinstance(one, str) else one.output.source for one in chosen]
    return tuple(
        os.path.relpath(repo.root / source, session.directory) if source != one else source
        for source, one in zip(sources, chosen, strict=True)
        if source == one or ":" in source
    )


def _behind(session: Session, repo: DataRepository, pointers: Sequence[Pointer]) -> dict[Path, str]:
    from penstock.flows.sources.updates import find_updates  # what that takes, where there are imports

    found, unknown = find_updates(repo.root, pointers)
    for line in unknown:
        session.note(f"the source of an import cannot be asked: {line}")
    return found


def _pipeline_status(
    session: Session, repo: DataRepository, targets: tuple[str, ...]
) -> tuple[dict[str, list[Any]], set[str]]:
    from penstock.data.pointers.metafiles import find_definitions

    if not find_definitions(repo):
        return {}, set()
    from penstock.flows.pipelines.status import pipeline_status

    return pipeline_status(repo, targets, session.directory)


@click.command()
@TARGETS
@click.option("-f", "--force", is_flag=True, help="Overwrite unsaved work, keeping a copy under .dvc/tmp.")
@click.option("--relink", is_flag=True, help="Make links or copies anew, as cache.type says now.")
@click.option("--summary", is_flag=True, help="Print only how many files changed.")
@click.option("--allow-missing", is_flag=True, help="Leave out what is not in the cache.")
@reach_options
@json_option
@pass_session
def checkout(
    session: Session, /, targets: tuple[str, ...], summary: bool, **flags: Unpack[CheckoutFlags]
) -> None:
    """Bring the workspace to what pointers and lock say."""
    from collections import Counter

    from penstock.flows.tracked import working_tree

    counts: Counter[str] = Counter()
    with opened(session) as repo:
        chosen = widened(session, repo, targets, recursive=flags["recursive"], with_deps=flags["with_deps"])
        changes = working_tree.checkout(
            repo,
            chosen,
            base=session.directory,
            counts=counts,
            force=flags["force"],
            relink=flags["relink"],
            allow_missing=flags["allow_missing"],
        )
        root = repo.root
    session.emit(
        by_change(changes),
        lambda: (
            render_summary(counts)
            if summary
            else render_changes(shown_paths(changes, root, session.directory))
        ),
    )


@click.command()
@TARGETS
@click.option("-f", "--force", is_flag=True, help="Accepted for DVC's sake; there is no prompt.")
@click.option("--no-relink", is_flag=True, help="Leave files as they are, even where links are configured.")
@reach_options
@json_option
@pass_session
def commit(
    session: Session, /, targets: tuple[str, ...], no_relink: bool, **flags: Unpack[CommitFlags]
) -> None:
    """Record changed tracked data as the new state."""
    from penstock.flows.tracked import working_tree

    with opened(session) as repo:
        chosen = widened(session, repo, targets, recursive=flags["recursive"], with_deps=flags["with_deps"])
        named = _stage_targets(session, repo, chosen)
        stages, known = _commit_stages(session, repo, named) if named or not targets else ([], set[str]())
        rest = tuple(one for one in chosen if not (isinstance(one, str) and one in known))
        done = (
            working_tree.commit(repo, rest, base=session.directory, relink=not no_relink)
            if rest or not targets
            else []
        )
        document = [{"pointer": repo.relative(one.pointer), "md5": one.hash.md5} for one in done]
    document += [{"stage": name} for name in stages]
    lines = [f"M       {one.get('pointer') or one['stage']}" for one in document]
    session.emit(document, "\n".join(lines) or "Nothing changed.")


def _commit_stages(
    session: Session, repo: DataRepository, targets: tuple[str, ...]
) -> tuple[list[str], set[str]]:
    from penstock.data.pointers.metafiles import find_definitions

    if not find_definitions(repo):
        return [], set()
    from penstock.flows.models.evidence.made import seen_by
    from penstock.flows.pipelines.committing import commit_stages
    from penstock.workspace import open_workspace

    def tell(error: PenstockError) -> None:
        session.note(
            f"The run cache is told of no stage, since nobody can say which were seen to run: {error.message}"
        )

    seen = seen_by(lambda: open_workspace(session.directory), tell)
    return commit_stages(repo, targets, session.directory, seen)


@click.command(cls=ManyValues)
@click.argument("a_rev", default="HEAD")
@click.argument("b_rev", required=False)
@click.option("--targets", multiple=True, help="Limit to these paths.")
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
    from penstock.flows.tracked import comparing

    with opened(session) as repo:
        found = comparing.compare_revisions(
            repo,
            a_rev,
            b_rev,
            targets=comparing.resolve_targets(repo, targets, session.directory),
            load_lists=lists_of(repo),
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
@SOME_TARGETS
@click.option("--outs", is_flag=True, help="Delete the data from the workspace too.")
@json_option
@pass_session
def remove(session: Session, targets: tuple[str, ...], outs: bool) -> None:
    """Stop tracking: delete pointers and their .gitignore entries."""
    from penstock.flows.tracked import working_tree

    with opened(session) as repo:
        stages = _stages_among(session, repo, targets)
        changed = _remove_stages(session, repo, stages, with_data=outs)
        rest = tuple(target for target in targets if target not in stages)
        changed += working_tree.remove(repo, rest, base=session.directory, with_data=outs) if rest else []
        document = [repo.relative(path) for path in changed]
    session.emit(document, "")


def _stages_among(session: Session, repo: DataRepository, targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return the targets that name stages; what is a path here is none."""
    named = [target for target in targets if not (session.directory / target).exists()]
    if not named:
        return ()
    from penstock.data.pointers.metafiles import find_definitions

    if not find_definitions(repo):
        return ()
    from penstock.flows.pipelines.editing import is_stage

    return tuple(target for target in named if is_stage(repo, target, session.directory))


def _remove_stages(
    session: Session, repo: DataRepository, stages: tuple[str, ...], *, with_data: bool
) -> list[Path]:
    if not stages:
        return []
    from penstock.flows.pipelines.editing import remove_stage

    return [
        path for one in stages for path in remove_stage(repo, one, session.directory, with_data=with_data)
    ]
