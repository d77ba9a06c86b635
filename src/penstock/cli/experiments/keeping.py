"""`penstock exp apply`, `branch`, `save`, `rename` and `remove`: what becomes of experiments."""

from __future__ import annotations

import shlex
from typing import TypedDict, Unpack

import click

from penstock.cli.data.targets import TARGETS, opened
from penstock.cli.experiments.selecting import RevisionFlags, baselines_of, revision_options
from penstock.cli.output import Session, json_option, pass_session
from penstock.cli.pipelines.recovering import tell_recovered

GIT_REMOTE = click.option("-g", "--git-remote", help="In this git remote instead of here.")


class RemoveFlags(RevisionFlags):
    """What is removed."""

    keep: bool
    queue: bool
    git_remote: str | None


class SaveFlags(TypedDict):
    """What is saved, and under which name."""

    recursive: bool
    force: bool
    name: str | None
    include_untracked: tuple[str, ...]
    message: str


@click.command()
@click.argument("experiment")
@click.option("--no-force", is_flag=True, help="Refuse where changes would be overwritten.")
@json_option
@pass_session
def apply(session: Session, /, experiment: str, no_force: bool) -> None:
    """Bring an experiment's result into the workspace; changes it overwrites are kept in git."""
    from penstock.base.numbers import counted
    from penstock.flows.experiments.applying import apply_experiment, plan_apply, require_data
    from penstock.flows.tracked.remotes.report import named

    with opened(session) as repo:
        plan = plan_apply(repo, experiment)
        applied = apply_experiment(repo, plan, force=not no_force)
    kept = applied.kept
    if kept is not None:
        told = f"{counted(len(plan.replaced), 'file')}: {named(plan.replaced)}"
        session.note(f"What it overwrote is kept ({told}); all comes back by: git restore --source={kept} :/")
    require_data(plan.experiment, applied)
    session.emit(
        {"name": plan.experiment.name, "rev": plan.experiment.commit, "kept": kept, "paths": plan.replaced},
        f"The workspace is as experiment {plan.experiment.name} left it.",
    )


@click.command()
@click.argument("experiment")
@click.argument("branch", required=False)
@json_option
@pass_session
def branch(session: Session, /, experiment: str, branch: str | None) -> None:
    """Make a git branch of an experiment, called NAME-branch unless BRANCH is given."""
    from penstock.flows.experiments.applying import make_branch

    with opened(session) as repo:
        name = make_branch(repo, experiment, branch)
    session.emit({"branch": name}, f"Branch {name} holds it: git checkout {shlex.quote(name)}")


@click.command()
@TARGETS
@click.option("-R", "--recursive", is_flag=True, help="Take all that is tracked below a directory.")
@click.option("-f", "--force", is_flag=True, help="Replace the experiment of this name.")
@click.option("-n", "--name", help="The experiment's name; without it, one nobody has.")
@click.option("-I", "--include-untracked", multiple=True, help="A file taken along that git does not have.")
@click.option("-m", "--message", default="", help="The message of the experiment's commit.")
@json_option
@pass_session
def save(session: Session, /, targets: tuple[str, ...], **flags: Unpack[SaveFlags]) -> None:
    """Save the workspace as an experiment, without running anything."""
    from penstock.flows.experiments.saving import save_workspace
    from penstock.workspace import open_workspace

    project = open_workspace(session.directory)
    try:
        tell_recovered(session, project)
        saved = save_workspace(
            project,
            flags["name"],
            targets,
            base=session.directory,
            untracked=[session.directory / path for path in flags["include_untracked"]],
            message=flags["message"],
            force=flags["force"],
        )
    finally:
        project.close()
    session.emit(
        {"ref": saved.commit, "name": saved.name}, f"Saved experiment {saved.name} ({saved.commit[:7]})."
    )


@click.command()
@click.argument("experiment")
@click.argument("name")
@GIT_REMOTE
@click.option("-f", "--force", is_flag=True, help="Replace the experiment of this name.")
@json_option
@pass_session
def rename(session: Session, /, experiment: str, name: str, git_remote: str | None, force: bool) -> None:
    """Give an experiment another name."""
    from penstock.flows.experiments.applying import rename_experiment

    with opened(session) as repo:
        new = rename_experiment(repo, experiment, name, remote=git_remote, force=force)
    session.emit({"name": new.name, "rev": new.commit}, f"Renamed {experiment} to {new.name}.")


@click.command()
@click.argument("experiments", nargs=-1)
@revision_options
@click.option("--keep", is_flag=True, help="Remove all but what is named.")
@click.option("--queue", is_flag=True, help="Remove all that waits.")
@GIT_REMOTE
@json_option
@pass_session
def remove(session: Session, /, experiments: tuple[str, ...], **flags: Unpack[RemoveFlags]) -> None:
    """Remove experiments: those named, or all of some commits."""
    from penstock.flows.experiments.applying import apply_removal, plan_removal

    wanted = baselines_of(flags)
    if flags["keep"] and flags["queue"]:
        raise click.UsageError("--keep and --queue exclude each other")
    if not (experiments or flags["queue"] or not wanted.is_default):
        raise click.UsageError("name experiments, or give --rev, --all-commits or --queue")
    with opened(session) as repo:
        plan = plan_removal(
            repo,
            experiments,
            wanted,
            keep=flags["keep"],
            queued=flags["queue"],
            remote=flags["git_remote"],
        )
        apply_removal(repo, plan)
    session.emit(
        plan.names, f"Removed {', '.join(plan.names)}." if plan.names else "There is none to remove."
    )
