"""Whether a commit is on the default branch, which alone is released: asked of the CI system's variables, else of git.

The default branch is HEAD of the repository that pushes go to: of the bare one in its hook, else of `origin`, or of this
one where there is no origin. **Source**: docs.github.com "Variables reference"; docs.gitlab.com "Predefined CI/CD variables";
the environment that Jenkins' plugin "Branch API" sets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.base.git import Git

BRANCH = "refs/heads/"
_ALWAYS_DEFAULT = {"schedule", "repository_dispatch"}
"""Events of GitHub that begin runs of the default branch alone."""


@dataclass(frozen=True)
class ToldBranch:
    """What a CI system says of its run: the commit, its branch (None: it is about a request), and the default one."""

    commit: str
    branch: str | None
    default: str


@dataclass(frozen=True)
class Pushed:
    """How a commit came to a run: the branch it was pushed to, the repository that a hook knows, what a CI system says.

    `began_ms` is when the hook did.
    """

    branch: str | None = None
    source: str | None = None
    told: ToldBranch | None = None
    began_ms: int | None = None


def told_by_system(variables: Mapping[str, str], event: bytes | None) -> ToldBranch | None:
    """Return what a CI system's variables say of the branch; None where there is none that says it.

    Args:
        variables: the environment of the job.
        event: what GitHub told the run, the content of `GITHUB_EVENT_PATH`.
    """
    if variables.get("GITHUB_ACTIONS"):
        return _github(variables, event)
    if variables.get("GITLAB_CI") and (default := variables.get("CI_DEFAULT_BRANCH")):
        branch = variables.get("CI_COMMIT_BRANCH") or None
        return ToldBranch(variables.get("CI_COMMIT_SHA", ""), branch, default)
    if variables.get("JENKINS_URL") and (branch := variables.get("BRANCH_NAME")):
        is_default = variables.get("BRANCH_IS_PRIMARY") == "true"
        commit = variables.get("GIT_COMMIT", "")
        return ToldBranch(commit, branch, branch) if is_default and not variables.get("CHANGE_ID") else None
    return None


def _github(variables: Mapping[str, str], event: bytes | None) -> ToldBranch | None:
    ref = variables.get("GITHUB_REF", "")
    branch = ref.removeprefix(BRANCH) if ref.startswith(BRANCH) else None
    try:
        default = json.loads(event or b"{}")["repository"]["default_branch"]
    except (ValueError, KeyError, TypeError):
        default = branch if variables.get("GITHUB_EVENT_NAME") in _ALWAYS_DEFAULT else None
    if not isinstance(default, str):
        return None
    return ToldBranch(variables.get("GITHUB_SHA", ""), branch, default)


def why_not_on_default(git: Git, commit: str, pushed: Pushed) -> str | None:
    """Say why a commit is not on the default branch; None where it is.

    The repository of a hook is asked alone; what a CI system says counts where it is about this repository.
    """
    source, told = pushed.source, pushed.told
    if source is None and told is not None and _has(git, told.commit):
        if told.branch != told.default:
            what = f"the branch {told.branch}" if told.branch else "a request or a tag"
            return f"this run is of {what}, and only the default branch {told.default} is released"
        name, tip = told.default, told.commit
    else:
        found = _ask(git, source)
        if found is None:
            return "git cannot say which branch is the default one, and only that is released"
        name, tip = found
    return (
        None if is_within(git, commit, tip) else f"commit {commit[:10]} is not on the default branch {name}"
    )


def branch_of(git: Git, revision: str, pushed: Pushed) -> str | None:
    """Return the branch that a run is of, as the CI system says it, else the one that the revision names or is; None without."""
    if pushed.told is not None:
        return pushed.told.branch
    if git.run("rev-parse", "--verify", "--quiet", f"{BRANCH}{revision}", check=False):
        return revision
    if revision != "HEAD":
        return None
    return git.branch()


def default_name(git: Git) -> str:
    """Return what the default branch is called, by what git knows here: origin's, else main or master, else the one checked out."""
    known = git.run("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD", check=False)
    if known:
        return known.removeprefix("refs/remotes/origin/")
    for name in ("main", "master"):
        if git.run("rev-parse", "--verify", "--quiet", f"{BRANCH}{name}", check=False):
            return name
    return git.run("symbolic-ref", "--quiet", "HEAD", check=False).removeprefix(BRANCH) or "main"


def is_within(git: Git, commit: str, later: str) -> bool:
    """Say whether a commit is another one or among those it came from; no where git does not know one of them."""
    return git.run("merge-base", commit, later, check=False) == commit


def _has(git: Git, commit: str) -> bool:
    return bool(commit) and git.run("cat-file", "-t", commit, check=False) == "commit"


def _ask(git: Git, source: str | None) -> tuple[str, str] | None:
    """Return the default branch's name and its newest commit, which is fetched where it is not here."""
    if source is None and not git.run("config", "--get", "remote.origin.url", check=False):
        # a run's own tree has no branch checked out: the repository that it is a tree of is asked
        own = f"--git-dir={git.root / git.run('rev-parse', '--git-common-dir', check=False)}"
        tip = git.run(own, "rev-parse", "--verify", "--quiet", "HEAD", check=False)
        return _named(git.run(own, "symbolic-ref", "--quiet", "HEAD", check=False), tip)
    place = source or "origin"
    answer = git.run_bytes(
        "ls-remote", "--symref", "--", place, "HEAD", check=False, variables={"GIT_TERMINAL_PROMPT": "0"}
    ).decode(errors="replace")
    words = [line.split() for line in answer.splitlines()]
    ref = next((line[1] for line in words if line[0] == "ref:"), "")
    tip = next((line[0] for line in words if line[0] != "ref:"), "")
    if ref and tip and not _has(git, tip):
        git.run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", place, ref, check=False
        )
    if not (ref and tip) and source is None:  # it cannot be reached: what it said last
        known = git.run("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD", check=False)
        tip = git.run("rev-parse", "--verify", "--quiet", known, check=False) if known else ""
        ref = known.replace("refs/remotes/origin/", BRANCH, 1)
    return _named(ref, tip)


def _named(ref: str, tip: str) -> tuple[str, str] | None:
    return (ref.removeprefix(BRANCH), tip) if ref.startswith(BRANCH) and tip else None
