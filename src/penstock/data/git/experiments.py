"""Experiments as DVC keeps them: refs of git, `refs/exps/<2 digits>/<38 digits of the baseline>/<name>`. Reads only.

Each points at a commit whose parent is the baseline and whose tree is the workspace after the run.

Source: dvc/repo/experiments/refs.py (3.67).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from penstock.base.errors import Conflict, NotFound
from penstock.base.git import Git

NAMESPACE = "refs/exps"
_REF = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/([^/]+)\Z")
_FORMAT = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)"


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
