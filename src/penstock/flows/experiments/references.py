"""Writing, checking and listing the refs of experiments; how they look and are found says `data.git.experiments`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from penstock.base.errors import Conflict, Invalid
from penstock.base.git import Git
from penstock.data.git.experiments import NAMESPACE, Experiment, list_experiments, parse_references
from penstock.data.repository import DataRepository
from penstock.flows.experiments.baselines import Baselines, list_baselines

_BAD_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\/]|\.\.|@\{|\A\.|\A-|\.\Z|\.lock\Z|\A@\Z|\A\Z")
NONE = "0" * 40


def check_name(name: str) -> str:
    """Return a name that a ref can have.

    Raises:
        Invalid: git would not take it.
    """
    if _BAD_NAME.search(name):
        raise Invalid(
            f"an experiment cannot be called {name!r}",
            code="experiments.bad_name",
            hint="use letters, digits, '-', '_' and '.'",
            name=name,
        )
    return name


def is_free(git: Git, baseline: str, name: str) -> bool:
    """Say whether no experiment of this baseline has the name."""
    return not git.run("rev-parse", "--verify", "--quiet", Experiment(name, baseline, "").ref, check=False)


def check_free(git: Git, baseline: str, name: str) -> None:
    """Make sure that no experiment of this baseline has the name.

    Raises:
        Conflict: one has.
    """
    if not is_free(git, baseline, name):
        raise taken(name)


def taken(name: str, waiting: Sequence[str] = ()) -> Conflict:
    """Return the error for a name that is in use; `waiting` are those of the same names that are queued still."""
    hint = "choose another name, or replace it with --force"
    if waiting:
        them = f"{', '.join(waiting[:3])}{f' and {len(waiting) - 3} more' if len(waiting) > 3 else ''}"
        still = f"{them} {'waits' if len(waiting) == 1 else 'wait'} in the queue: penstock exp run --run-all goes on with"
        hint = f"{still} {'it' if len(waiting) == 1 else 'them'}; or choose another name"
    return Conflict(
        f"there is an experiment {name!r} already",
        code="experiments.name_taken",
        hint=hint,
        experiment=name,
    )


def save_reference(git: Git, experiment: Experiment, *, force: bool = False) -> Experiment:
    """Write an experiment's ref and return what stands there: an earlier one where its tree is the same.

    Raises:
        Conflict: another result has the name, and `force` was not given.
    """
    if not force:
        try:
            git.run("update-ref", experiment.ref, experiment.commit, NONE)
            return experiment
        except Invalid:  # mostly since one has the name
            before = git.run("rev-parse", "--verify", "--quiet", experiment.ref, check=False)
            if not before:
                raise
        trees = [git.run("rev-parse", f"{commit}^{{tree}}") for commit in (before, experiment.commit)]
        if trees[0] != trees[1]:
            raise taken(experiment.name)
        return Experiment(experiment.name, experiment.baseline, before, experiment.created_s)
    before = git.run("rev-parse", "--verify", "--quiet", experiment.ref, check=False)
    git.run("update-ref", experiment.ref, experiment.commit, before or NONE)
    return experiment


def delete_references(git: Git, experiments: Sequence[Experiment]) -> None:
    """Remove experiments; their commits go with git's next collection."""
    update_references(git, [f"delete {one.ref}" for one in experiments])


def update_references(git: Git, commands: Sequence[str]) -> None:
    """Carry out `git update-ref --stdin` commands: all or none."""
    if commands:
        git.feed("\n".join([*commands, ""]).encode(), "update-ref", "--stdin")


def list_by_baseline(
    repo: DataRepository, wanted: Baselines, remote: str | None = None
) -> dict[str, list[Experiment]]:
    """Return experiments by baseline, in order of their names; `remote` is a git remote's name or URL.

    Raises:
        NotFound: a revision does not exist.
        Invalid: git cannot reach the remote.
    """
    git = Git(repo.root)
    known = list_remote(git, remote) if remote else list_experiments(git)
    chosen = None if wanted.commits else set(list_baselines(git, wanted))
    found: dict[str, list[Experiment]] = {}
    for one in sorted(known, key=lambda one: (one.baseline, one.name)):
        if chosen is None or one.baseline in chosen:
            found.setdefault(one.baseline, []).append(one)
    return found


def list_remote(git: Git, remote: str) -> list[Experiment]:
    """Return the experiments of a git remote.

    Raises:
        Invalid: git cannot reach it.
    """
    lines = git.run("ls-remote", "--", remote, f"{NAMESPACE}/*").splitlines()
    pairs = [line.split("\t") for line in lines]
    return parse_references("\n".join(f"{ref}\0{commit}\x000" for commit, ref in pairs))
