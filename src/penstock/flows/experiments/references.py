"""Experiments as DVC keeps them: refs of git, `refs/exps/<2 digits>/<38 digits of the baseline>/<name>`.

Each points at a commit whose parent is the baseline and whose tree is the workspace after the run.

Source: dvc/repo/experiments/refs.py (3.67).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.base.git import Git
from penstock.data.repository import DataRepository
from penstock.flows.experiments.baselines import Baselines, list_baselines

NAMESPACE = "refs/exps"
_REF = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/([^/]+)\Z")
_BAD_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\/]|\.\.|@\{|\A\.|\A-|\.\Z|\.lock\Z|\A@\Z|\A\Z")
_FORMAT = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)"
NONE = "0" * 40


@dataclass(frozen=True)
class Experiment:
    """One experiment: `commit` is its result, `baseline` the commit it began at, `created_s` when, in Unix seconds."""

    name: str
    baseline: str
    commit: str
    created_s: int = 0

    @property
    def ref(self) -> str:
        """Its full ref."""
        return f"{NAMESPACE}/{self.baseline[:2]}/{self.baseline[2:]}/{self.name}"


def parse_references(text: str) -> list[Experiment]:
    """Return the experiments of lines `ref NUL commit NUL time`; DVC's own bookkeeping there is left out."""
    found = []
    for line in text.splitlines():
        ref, commit, time = line.split("\0")
        match = _REF.match(ref)
        if match is not None:
            found.append(Experiment(match[3], match[1] + match[2], commit, int(time or 0)))
    return found


def list_experiments(git: Git, baselines: Collection[str] | None = None) -> list[Experiment]:
    """Return the experiments, newest first; of some baselines only, where they are given."""
    found = parse_references(git.run("for-each-ref", _FORMAT, NAMESPACE))
    chosen = [one for one in found if baselines is None or one.baseline in baselines]
    return sorted(chosen, key=lambda one: (one.created_s, one.name), reverse=True)


def find_experiment(git: Git, word: str) -> Experiment:
    """Return the experiment that a name, a ref or a commit means; of several of one name, that of HEAD.

    Raises:
        NotFound: there is none.
        Conflict: the name stands for several, none of them of HEAD.
    """
    return choose_experiments(list_experiments(git), [word], git.head())[0]


def choose_experiments(
    known: Sequence[Experiment], words: Sequence[str], head: str | None, remote: str | None = None
) -> list[Experiment]:
    """Return the experiments that words mean, as `find_experiment` does; `remote` is the git remote that has them."""
    chosen: dict[str, Experiment] = {}
    for word in words:
        found = [one for one in known if word in {one.name, one.ref}] or [
            one for one in known if len(word) >= 4 and one.commit.startswith(word)
        ]
        if len(found) > 1:
            found = [one for one in found if one.baseline == head] or found
        if not found:
            raise unknown(word, [one.name for one in known], remote)
        if len(found) > 1:
            raise Conflict(
                f"several experiments are called {word!r}",
                code="experiments.ambiguous",
                hint=f"name one by its ref: {found[0].ref}",
                experiment=word,
                refs=[one.ref for one in found],
            )
        chosen[found[0].ref] = found[0]
    return list(chosen.values())


def unknown(word: str, names: Sequence[str], remote: str | None = None) -> NotFound:
    """Return the error for a name that no experiment has."""
    near = get_close_matches(word, names, 1)
    listing = f"penstock exp list {shlex.quote(remote)} -A" if remote else "penstock exp list --all-commits"
    return NotFound(
        f"there is no experiment {word!r}" + (f" in {remote}" if remote else ""),
        code="experiments.no_experiment",
        hint=f"did you mean {near[0]!r}?" if near else listing,
        experiment=word,
    )


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
