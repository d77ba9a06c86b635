"""What data commands share: the opened repository, and targets with what they reach."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from penstock.cli.output import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from penstock.data.formats.output import HashInfo
    from penstock.data.repository import DataRepository
    from penstock.flows.tracked.comparing import LoadLists
    from penstock.flows.tracked.history import Scope
    from penstock.flows.tracked.selection import Chosen


def complete_files(_context: Any, _parameter: Any, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete a path."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_remotes(_context: Any, _parameter: Any, incomplete: str) -> list[str]:
    """Return the remotes whose names begin so."""
    from penstock.base.errors import PenstockError
    from penstock.data.configuration.config import load_config
    from penstock.data.repository import find_root

    try:
        names = load_config(find_root(Path()) / ".dvc").remotes()
    except PenstockError:
        return []
    return [name for name in names if name.startswith(incomplete)]


TARGETS = click.argument("targets", nargs=-1, shell_complete=complete_files)
SOME_TARGETS = click.argument("targets", nargs=-1, required=True, shell_complete=complete_files)
RECURSIVE = click.option(
    "-R", "--recursive", is_flag=True, help="Take all that is tracked below a directory."
)
WITH_DEPS = click.option(
    "-d", "--with-deps", is_flag=True, help="Take what a target was made from too, all the way up."
)
GLOB = click.option("--glob", "use_glob", is_flag=True, help="Expand patterns in TARGETS.")


@contextmanager
def opened(session: Session) -> Iterator[DataRepository]:
    """Open the repository of the session's directory for a command; say at its end what git cannot ignore and what was kept."""
    from penstock.data.repository import DataRepository

    repo = DataRepository.open(session.directory)
    try:
        yield repo
        for path in repo.not_ignored:
            session.note(
                f"warning: git cannot ignore {repo.relative(path)!r}: a name of several lines fits no .gitignore;"
                " do not git add it"
            )
        for path in repo.emptied:
            name = repo.relative(path)
            session.note(
                f"warning: .dvcignore excludes every file of {name}: it is tracked as an empty directory"
            )
        for folder in repo.kept:
            session.note(
                f"what was there and in no cache is kept in {os.path.relpath(folder, session.directory)}"
            )
    finally:
        repo.close()


def lists_of(repo: DataRepository) -> LoadLists:
    """Return what reads the lists of directories from the remote; what that takes is imported when one is wanted."""

    def load(infos: Sequence[HashInfo]) -> Mapping[str, Mapping[str, str]]:
        from penstock.flows.tracked.remotes.lists import load_lists

        return load_lists(repo, infos)

    return load


class ReachFlags(TypedDict):
    """What `reach_options` adds."""

    recursive: bool
    with_deps: bool


class HistoryFlags(TypedDict):
    """What `history_options` adds."""

    all_branches: bool
    all_tags: bool
    all_commits: bool


def reach_options(command: Any) -> Any:
    """Add `-R` and `-d`."""
    return RECURSIVE(WITH_DEPS(command))


def history_options(command: Any) -> Any:
    """Add `-a`, `-T` and `-A`."""
    for option in (
        click.option("-a", "--all-branches", is_flag=True, help="For the tips of all branches too."),
        click.option("-T", "--all-tags", is_flag=True, help="For all tags too."),
        click.option("-A", "--all-commits", is_flag=True, help="For all commits too."),
    ):
        command = option(command)
    return command


def widened(
    session: Session,
    repo: DataRepository,
    targets: tuple[str, ...],
    *,
    recursive: bool = False,
    with_deps: bool = False,
    use_glob: bool = False,
    bring_trees: Callable[[Any], None] | None = None,
) -> tuple[str | Chosen, ...]:
    """Return targets with what they reach; as they are where no flag asks for more.

    The command ends, successfully, where nothing is tracked below what `-R` names.
    """
    if not targets or not (recursive or with_deps or use_glob):
        return targets
    from penstock.flows.tracked.reach import Reach, widen

    reach = Reach(session.directory, recursive, use_glob, with_deps, bring_trees)
    found = widen(repo, targets, reach)
    if not found:
        session.emit({}, "Nothing is tracked there.")
        raise click.exceptions.Exit(0)
    return tuple(found)


def scope_of(flags: HistoryFlags) -> Scope | None:
    """Return which other commits are asked for, or None when none are."""
    scope = (flags["all_branches"], flags["all_tags"], flags["all_commits"])
    if not any(scope):
        return None
    from penstock.flows.tracked.history import Scope

    return Scope(*scope)
