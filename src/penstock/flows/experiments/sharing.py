"""Experiments to and from a git remote, with the cached data they name to and from a remote of data.

A ref arrives after its data: who sees an experiment can have its data.

Source: dvc/repo/experiments/push.py and pull.py (3.67).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from penstock.base.errors import PenstockError
from penstock.base.git import Git
from penstock.base.numbers import counted
from penstock.data.git.experiments import Experiment, choose_experiments, list_experiments
from penstock.data.repository import DataRepository
from penstock.flows.experiments.baselines import Baselines, list_baselines
from penstock.flows.experiments.references import list_remote
from penstock.flows.tracked.history import Scope
from penstock.flows.tracked.remotes.report import TransferReport, raise_failures
from penstock.flows.tracked.remotes.transferring import Progress, TransferOptions, fetch, push


@dataclass(frozen=True)
class Shared:
    """What went over: experiments that are there now, were before, or differ there; and what became of the data."""

    done: tuple[Experiment, ...]
    known: tuple[Experiment, ...]
    diverged: tuple[Experiment, ...]
    data: TransferReport | None = None

    @property
    def commits(self) -> tuple[str, ...]:
        """The commits of what is on both sides now, whose data are wanted."""
        return tuple(one.commit for one in (*self.done, *self.known))

    def refspecs(self, *, force: bool) -> list[str]:
        """Return what git is told to let over."""
        return [f"{'+' if force else ''}{one.ref}:{one.ref}" for one in self.done]


class Share(Protocol):
    """How experiments, named or of some baselines, go over to a git remote or come from one, and their data with them."""

    def __call__(
        self,
        repo: DataRepository,
        remote: str,
        words: Sequence[str],
        wanted: Baselines,
        *,
        data: TransferOptions | None,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Shared:
        """Do it; without `data` they stay where they are.

        Raises:
            NotFound, Conflict: a word means no experiment, or several; there is no remote of data.
            Invalid: git cannot reach the remote.
        """
        ...


def push_experiments(
    repo: DataRepository,
    remote: str,
    words: Sequence[str],
    wanted: Baselines,
    *,
    data: TransferOptions | None,
    force: bool = False,
    progress: Progress | None = None,
) -> Shared:
    """Send experiments, named or of some baselines, to a git remote; first their data, where `data` says how.

    Raises:
        NotFound, Conflict: a word means no experiment, or several; there is no remote of data.
        Invalid: git cannot reach the remote.
    """
    git = Git(repo.root)
    chosen = _chosen(git, list_experiments(git), words, wanted)
    there = {one.ref: one.commit for one in list_remote(git, remote)}
    shared = _compared(chosen, there, force=force)
    if data is not None and shared.commits:
        report = push(repo, options=replace(data, scope=Scope(chosen=shared.commits)), progress=progress)
        raise_failures(report, "pushed")
        shared = replace(shared, data=report)
    if shared.done:
        git.run("push", "--quiet", "--", remote, *shared.refspecs(force=force))
    return shared


def pull_experiments(
    repo: DataRepository,
    remote: str,
    words: Sequence[str],
    wanted: Baselines,
    *,
    data: TransferOptions | None,
    force: bool = False,
    progress: Progress | None = None,
) -> Shared:
    """Bring experiments, named or of some baselines, from a git remote, and their data into the cache.

    Raises:
        NotFound, Conflict, Invalid: as `push_experiments`; what came is told where its data did not.
    """
    git = Git(repo.root)
    chosen = _chosen(git, list_remote(git, remote), words, wanted, remote)
    here = {one.ref: one.commit for one in list_experiments(git)}
    shared = _compared(chosen, here, force=force)
    if shared.done:
        git.run("fetch", "--quiet", "--no-tags", "--", remote, *shared.refspecs(force=force))
    if data is None or not shared.commits:
        return shared
    try:
        report = fetch(repo, options=replace(data, scope=Scope(chosen=shared.commits)), progress=progress)
        raise_failures(report, "fetched")
    except PenstockError as error:
        raise _without_data(remote, [one.name for one in (*shared.done, *shared.known)], error) from error
    return replace(shared, data=report)


def _without_data(remote: str, names: Sequence[str], error: PenstockError) -> PenstockError:
    """Return the error that says which experiments are here although their data did not come."""
    told = f"experiment {names[0]}" if len(names) == 1 else counted(len(names), "experiment")
    again = " ".join(shlex.quote(word) for word in (remote, *names))
    is_lacking = error.code == "data.object_missing"
    return type(error)(
        f"{told} came without all data: {error.message}",
        code=error.code,
        hint=f"penstock exp push {again} where they were made, then pull again" if is_lacking else error.hint,
        **{**error.fields, "experiments": list(names)},
    )


def _chosen(
    git: Git,
    known: Sequence[Experiment],
    words: Sequence[str],
    wanted: Baselines,
    remote: str | None = None,
) -> list[Experiment]:
    if words:
        return choose_experiments(known, words, git.head(), remote)
    if wanted.commits:
        return list(known)
    commits = set(list_baselines(git, wanted))
    return [one for one in known if one.baseline in commits]


def _compared(chosen: Sequence[Experiment], there: dict[str, str], *, force: bool) -> Shared:
    known = tuple(one for one in chosen if there.get(one.ref) == one.commit)
    differing = tuple(one for one in chosen if there.get(one.ref) not in {None, one.commit})
    missing = tuple(one for one in chosen if one.ref not in there)
    return Shared((*missing, *differing) if force else missing, known, () if force else differing)
