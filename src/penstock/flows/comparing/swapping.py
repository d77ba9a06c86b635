"""A working tree that has some parts of one commit and the rest of another, and what its pipeline measures there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from penstock.base.errors import PenstockError
from penstock.base.git import Git
from penstock.data.lock import repository_lock
from penstock.flows.comparing.parts import Part
from penstock.flows.comparing.sides import Side
from penstock.flows.pipelines.execution import load_metrics
from penstock.flows.sources.bring import bring_outputs
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import load_entries
from penstock.pipeline.runner import reproduce
from penstock.pipeline.running.reproducing import ReproduceOptions, StageResult, Watcher
from penstock.pipeline.status import stage_status
from penstock.project.project import Project
from penstock.project.worktree import clean_worktree

AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "penstock"), ("EMAIL", "penstock@localhost"))
}
KEPT_LINES = 20


@dataclass(frozen=True)
class Ends:
    """The two commits between which parts are swapped, and the parts in which they differ."""

    first: str
    second: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Measured:
    """What the pipeline gave with some parts swapped: its metrics, or why it failed; stages that ran or were known.

    `undetermined` says which data nobody can say to be the meant ones.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None
    output: tuple[str, ...] = ()
    ran: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    seconds: float = 0.0
    undetermined: tuple[str, ...] = ()


def as_commit_of(project: Project, side: Side) -> str:
    """Return a commit with all of a side's code: its own, or one that no branch names, with what was not committed."""
    assert side.commit is not None
    if side.dirty_digest is None:
        return side.commit
    patch = project.artifacts.get(side.dirty_digest)
    with clean_worktree(project, side.commit, project.actor) as tree:
        tree.git.apply(patch)
        tree.git.run("add", "--all", ":/")
        made = tree.git.run("write-tree")
        return (
            tree.git.run_bytes(
                "commit-tree", made, "-p", side.commit, "-m", f"{side.name} as it was", variables=AUTHOR
            )
            .decode()
            .strip()
        )


@contextmanager
def swapped_tree(project: Project, ends: Ends, swapped: frozenset[str]) -> Iterator[Project]:
    """Yield a clean tree of the first commit in which the parts named `swapped` are the second's."""
    is_code_swapped = any(part.kind == "code" and part.name in swapped for part in ends.parts)
    with clean_worktree(project, ends.second if is_code_swapped else ends.first, project.actor) as tree:
        for part in ends.parts:
            is_swapped = part.name in swapped
            if part.kind != "code" and is_swapped != is_code_swapped:
                _place(tree.git, ends.second if is_swapped else ends.first, part.files)
        yield tree


def stale_stages(project: Project, commit: str) -> tuple[str, ...]:
    """Return the stages of a commit whose inputs or command are not those that its dvc.lock has.

    What is undetermined of its data, `measure` told.

    Raises:
        NotFound: tracked data is neither in the cache nor on the remote.
    """
    with clean_worktree(project, commit, project.actor) as tree:
        bring_outputs(tree, project.data)
        stages = load_all_stages(tree.data)
        locked = load_entries(tree.data.root, stages)
        found = []
        for stage in stages:
            status = stage_status(tree.data, tree.data.root, stage, locked.get(stage.address))
            inputs = [change for change in status.dependencies.values() if change != "deleted"]
            if status.never_ran or status.command_changed or status.parameters or inputs:
                found.append(stage.name)
    return tuple(found)


def measure(project: Project, tree: Project, watcher: Watcher, *, dry: bool = False) -> Measured:
    """Run the tree's pipeline and return what it gives; what failed in it is in the result.

    Args:
        dry: tell only which stages would run. Those whose inputs an earlier one makes count as run.

    Raises:
        NotFound: tracked data is neither in the cache nor on the remote.
    """
    undetermined = bring_outputs(tree, project.data).undetermined
    began = time.monotonic()
    try:
        stages = load_all_stages(tree.data)
        with repository_lock(tree.data):
            results = reproduce(tree.data, stages, ReproduceOptions(dry=dry), watcher)
    except PenstockError as error:
        output = error.fields.get("output")
        lines = tuple(map(str, output))[-KEPT_LINES:] if isinstance(output, Sequence) else ()
        return Measured(
            failure=error.message,
            output=lines,
            seconds=time.monotonic() - began,
            undetermined=undetermined,
        )
    return Measured(
        metrics={} if dry else load_metrics(tree.root, stages),
        ran=_named(results, "ran", "would run"),
        restored=_named(results, "restored", "recorded"),
        seconds=time.monotonic() - began,
        undetermined=undetermined,
    )


def _named(results: Sequence[StageResult], *actions: str) -> tuple[str, ...]:
    return tuple(one.stage for one in results if one.action in actions)


def _place(git: Git, commit: str, files: Sequence[str]) -> None:
    """Let files of a tree be a commit's: also absent, where the commit has none."""
    for file in files:
        if git.run("ls-tree", "--name-only", commit, "--", file, check=False):
            git.run("checkout", "--quiet", commit, "--", f":(literal){file}")
        else:
            git.run("rm", "--quiet", "--force", "--ignore-unmatch", "--", f":(literal){file}")
