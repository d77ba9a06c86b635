"""An experiment's result brought into the workspace; branches made of experiments; experiments renamed and removed."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.base.errors import Conflict, NotFound, PenstockError, Refused
from penstock.base.git import Git
from penstock.data.formats.output import Output
from penstock.data.git.experiments import (
    Experiment,
    choose_experiments,
    find_experiment,
    list_experiments,
    unknown,
)
from penstock.data.repository import DataRepository
from penstock.data.verbs.lacking import clear_lacking
from penstock.flows.experiments.baselines import Baselines, list_baselines
from penstock.flows.experiments.queueing import STATES, Waiting, drop_waiting, list_waiting
from penstock.flows.experiments.reading import forget
from penstock.flows.experiments.references import (
    NONE,
    check_name,
    delete_references,
    list_remote,
    taken,
    update_references,
)
from penstock.flows.experiments.trees import commit_tree, write_tree
from penstock.flows.tracked.remotes.report import named, shorten
from penstock.flows.tracked.working_tree import checkout
from penstock.pipeline.lockfile import LOCK_FILE
from penstock.pipeline.outputs import list_outputs

KEPT = "refs/penstock/replaced"


@dataclass(frozen=True)
class ApplyPlan:
    """What `exp apply` does: bring `experiment` here.

    `replaced` are files whose changes it overwrites, from git's root; those that commands write come last.
    """

    experiment: Experiment
    replaced: tuple[str, ...]


def plan_apply(repo: DataRepository, word: str) -> ApplyPlan:
    """Return what bringing an experiment into the workspace would overwrite.

    Raises:
        NotFound, Conflict: as `find_experiment`.
    """
    git = Git(repo.root)
    experiment = find_experiment(git, word)
    differing = set(_names(git.run_bytes("diff", "--name-only", "-z", experiment.commit, "--")))
    changed = set(_names(git.run_bytes("diff", "--name-only", "-z", "HEAD", "--")))
    untracked = set(_names(git.run_bytes("ls-files", "--others", "-z", "--full-name", ":/")))
    held = set(_names(git.run_bytes("ls-tree", "-r", "-z", "--name-only", "--full-tree", experiment.commit)))
    replaced = differing & (changed | (untracked & held))
    made = _made(repo, git, replaced) if replaced else set()
    return ApplyPlan(experiment, tuple(sorted(replaced, key=lambda name: (name in made, name))))


def _made(repo: DataRepository, git: Git, names: Collection[str]) -> set[str]:
    """Return those files that nobody edits by hand: pointers, locks, and what stages write."""
    outputs: set[Path] = set()
    with suppress(PenstockError):  # a dvc.yaml that cannot be read is what was edited
        outputs = {output.path for output in list_outputs(repo)}
    top = Path(git.run("rev-parse", "--show-toplevel"))
    return {
        name
        for name in names
        if Path(name).suffix == ".dvc"
        or Path(name).name in {LOCK_FILE, ".gitignore"}
        or not outputs.isdisjoint((top / name, *(top / name).parents))
    }


@dataclass(frozen=True)
class Applied:
    """What `exp apply` did: `kept` is the ref that holds what it overwrote, `missing` the data that are not here.

    `kept` is None where an experiment or a branch has it. Nothing else stands in the place of what is missing.
    """

    kept: str | None
    missing: tuple[str, ...]


def apply_experiment(repo: DataRepository, plan: ApplyPlan, *, force: bool = True) -> Applied:
    """Make files and data what they are in the experiment; HEAD and the index stay.

    Raises:
        Refused: it would overwrite changes, and `force` is not given; nothing is done.
    """
    git = Git(repo.root)
    if plan.replaced and not force:
        raise Refused(
            f"changes would be overwritten: {named(plan.replaced)}",
            code="experiments.would_overwrite",
            hint="commit or stash them, or leave --no-force out: they are kept then too",
            paths=list(plan.replaced),
        )
    top = Path(git.run("rev-parse", "--show-toplevel"))
    kept = None
    if plan.replaced:
        tree = write_tree(git, [top / name for name in plan.replaced])
        if tree not in git.run("for-each-ref", "--format=%(tree)", "refs/exps", "refs/heads", KEPT).split():
            commit = commit_tree(git, tree, git.resolve("HEAD"), f"penstock: before {plan.experiment.name}")
            kept = f"{KEPT}/{commit[:10]}"
            git.run("update-ref", kept, commit)
    git.run("restore", f"--source={plan.experiment.commit}", "--worktree", "--", ":/")
    fresh = replace(DataRepository.open(repo.root, repo.cache.root), kept=repo.kept)
    lacking: list[Output] = []
    checkout(fresh, force=True, allow_missing=True, lacking=lacking)
    missing = [path for output in lacking for path in clear_lacking(fresh, output)]
    return Applied(kept, tuple(sorted(missing)))


def require_data(experiment: Experiment, applied: Applied) -> None:
    """Refuse to call a workspace the experiment's that lacks some of its data.

    Raises:
        NotFound: the cache has not all; the paths are named.
    """
    if applied.missing:
        told = shorten(list(applied.missing))
        raise NotFound(
            f"experiment {experiment.name} is here without all its data: {told} not in the cache",
            code="data.object_missing",
            hint="penstock pull, where a remote has them, or penstock repro makes them again",
            paths=list(applied.missing),
            name=experiment.name,
            rev=experiment.commit,
            kept=applied.kept,
        )


def make_branch(repo: DataRepository, word: str, branch: str | None) -> str:
    """Make a branch of an experiment and return its name.

    Raises:
        NotFound, Conflict: as `find_experiment`; or there is such a branch.
    """
    git = Git(repo.root)
    experiment = find_experiment(git, word)
    name = branch or f"{experiment.name}-branch"
    git.run("check-ref-format", "--branch", name)
    if git.run("rev-parse", "--verify", "--quiet", f"refs/heads/{name}", check=False):
        raise Conflict(
            f"there is a branch {name!r} already",
            code="experiments.branch_exists",
            hint=f"penstock exp branch {shlex.quote(experiment.name)} ANOTHER",
            branch=name,
        )
    git.run("update-ref", f"refs/heads/{name}", experiment.commit, NONE)
    return name


def rename_experiment(
    repo: DataRepository, word: str, name: str, *, remote: str | None = None, force: bool = False
) -> Experiment:
    """Give an experiment another name, here or in a git remote; return it.

    Raises:
        NotFound, Conflict: as `find_experiment`; or the name is in use, and `force` was not given.
        Invalid: git would not take the name.
    """
    git = Git(repo.root)
    known = list_remote(git, remote) if remote else list_experiments(git)
    (old,) = choose_experiments(known, [word], git.head(), remote)
    new = Experiment(check_name(name), old.baseline, old.commit, old.created_s)
    if new.ref == old.ref:
        return old
    if not force and any(one.ref == new.ref for one in known):
        raise taken(name)
    if remote:
        _bring(git, remote, old)
        git.run(
            "push", "--quiet", "--atomic", "--force", "--", remote, f"{old.commit}:{new.ref}", f":{old.ref}"
        )
    else:
        update_references(git, [f"update {new.ref} {new.commit}", f"delete {old.ref} {old.commit}"])
    return new


def _bring(git: Git, remote: str, experiment: Experiment) -> None:
    """Fetch an experiment's commit, where it is not here: git pushes what it has only."""
    if not git.run("rev-parse", "--verify", "--quiet", f"{experiment.commit}^{{commit}}", check=False):
        git.run("fetch", "--quiet", "--no-tags", "--", remote, experiment.ref)


@dataclass(frozen=True)
class RemovalPlan:
    """Which experiments `exp remove` removes, here or in a git remote, and which that wait or failed."""

    experiments: tuple[Experiment, ...]
    waiting: tuple[Waiting, ...] = ()
    remote: str | None = None

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [one.name for one in self.experiments] + [one.job.name for one in self.waiting]


def plan_removal(
    repo: DataRepository,
    words: Sequence[str],
    wanted: Baselines,
    *,
    keep: bool = False,
    queued: bool = False,
    remote: str | None = None,
) -> RemovalPlan:
    """Return what is to be removed: what is named, or all of some baselines; with `keep` every other experiment.

    Raises:
        NotFound, Conflict: a word means no experiment, or several.
    """
    git = Git(repo.root)
    waiting = [] if remote else [one for state in STATES for one in list_waiting(git, state)]
    if queued:
        return RemovalPlan((), tuple(one for one in waiting if one.state == "queue"))
    known = list_remote(git, remote) if remote else list_experiments(git)
    chosen: list[Experiment] = []
    left: list[Waiting] = []
    if words:
        left = [one for one in waiting if one.job.name in words and not keep]
        there = {one.job.name for one in left}
        names = [one for one in words if one not in there or any(word.name == one for word in known)]
        chosen = choose_experiments(known, names, git.head(), remote)
        if not chosen and not left:
            raise unknown(words[0], [one.name for one in known], remote)
    elif wanted.commits:
        chosen = known
    elif not wanted.is_default:
        commits = set(list_baselines(git, wanted))
        chosen = [one for one in known if one.baseline in commits]
    if keep:
        refs = {one.ref for one in chosen}
        chosen = [one for one in known if one.ref not in refs]
    return RemovalPlan(tuple(chosen), tuple(left), remote)


def apply_removal(repo: DataRepository, plan: RemovalPlan) -> None:
    """Remove what was planned."""
    git = Git(repo.root)
    if plan.remote:
        if plan.experiments:
            git.run("push", "--quiet", "--", plan.remote, *(f":{one.ref}" for one in plan.experiments))
        return
    delete_references(git, plan.experiments)
    drop_waiting(git, plan.waiting)
    left = {one.commit for one in list_experiments(git)}
    forget(repo, {one.commit for one in plan.experiments} - left)


def _names(listed: bytes) -> list[str]:
    return [name for name in listed.decode(errors="surrogateescape").split("\0") if name]
