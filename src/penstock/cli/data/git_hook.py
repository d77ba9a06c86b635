"""`penstock install` and what the hooks it installs run."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from penstock.cli.data.targets import opened
from penstock.cli.output import Session, json_option, pass_session

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option(
    "--use-pre-commit-tool",
    "for_tool",
    is_flag=True,
    help="Write .pre-commit-config.yaml instead of git's hooks.",
)
@json_option
@pass_session
def install(session: Session, for_tool: bool) -> None:
    """Let git check out data with code, push data with commits, and merge pointers and dvc.lock.

    Hooks: post-checkout runs `checkout`, pre-commit runs `status`, pre-push runs `push`. The merge driver works
    on the files that .gitattributes names, which is told of it: *.dvc merge=dvc, dvc.lock merge=dvc. All run the
    program that installed them, also where its environment is not active; the first `penstock` of PATH where it is gone.
    """
    from penstock.base.errors import Invalid
    from penstock.base.git import Git
    from penstock.data.git.hooks import apply_install, own_program, plan_install

    with opened(session) as repo:
        root = repo.git_root()
        if root is None:
            raise Invalid(
                "there is no git repository here", code="git.missing_repository", hint="git init, then again"
            )
        git = Git(root)
        plan = plan_install(repo.root, git, own_program(), for_tool=for_tool)
        apply_install(plan, git)
    names = [os.path.relpath(path, session.directory) for path, _ in plan.files]
    told = [name for name in names if name.endswith(".gitattributes")]
    advice = (
        f"\nTo let all clones merge data, commit what it adds:\n\n\tgit add {shlex.quote(told[0])}"
        if told
        else ""
    )
    session.emit({"written": names}, f"Wrote {', '.join(names)} and the merge driver `dvc`.{advice}")


@click.group("git-hook")
def git_hook() -> None:
    """Run what a git hook runs; `penstock install` writes the hooks."""


@git_hook.command("pre-commit")
@click.argument("arguments", nargs=-1)
@click.pass_context
def pre_commit(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Show what changed in tracked data."""
    from penstock.cli.data.working_tree import status

    context.invoke(status)


@git_hook.command("pre-push")
@click.argument("arguments", nargs=-1)
@click.pass_context
def pre_push(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Push tracked data."""
    from penstock.cli.data.transfer import push

    context.invoke(push)


@git_hook.command("post-checkout")
@click.argument("arguments", nargs=-1)
@click.pass_context
def post_checkout(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Check out tracked data after git checked out another commit; not for single files, not in a rebase."""
    from penstock.base.git import Git
    from penstock.cli.data.working_tree import checkout
    from penstock.data.git.hooks import is_in_the_middle

    session = context.ensure_object(Session)
    if len(arguments) == 3 and arguments[2] != "1":
        return
    with opened(session) as repo:
        root = repo.git_root()
        if root is None or is_in_the_middle(Git(root)):
            return
    context.invoke(checkout)


@git_hook.command("merge-driver")
@click.option("--ancestor", type=FILE, required=True, help="The common version.")
@click.option("--our", type=FILE, required=True, help="Our version; the result is written over it.")
@click.option("--their", type=FILE, required=True, help="Their version.")
@click.option("--path", "name", help="The file's path in the repository.")
@click.pass_context
def merge_driver(context: click.Context, ancestor: Path, our: Path, their: Path, name: str | None) -> None:
    """Merge three versions of a pointer or of dvc.lock; exit 1 and leave marks where both sides differ."""
    from penstock.base.git import Git
    from penstock.flows.tracked.merge_driver import run_merge_driver

    session = context.ensure_object(Session)
    base = session.directory
    with opened(session) as repo:
        conflicts = run_merge_driver(repo, name or our.name, base / ancestor, base / our, base / their)
        if conflicts:
            for conflict in conflicts:
                click.echo(f"conflict: {conflict}", err=True)
            labels = ("-L", "ours", "-L", "base", "-L", "theirs")
            Git(repo.root).run(
                "merge-file", *labels, *(str(base / one) for one in (our, ancestor, their)), check=False
            )
            context.exit(1)
