"""Which commits experiments are looked for at, and what those are called.

Source: dvc/repo/experiments/utils.py, `describe`; dvc/scm.py, `iter_revs` (3.67).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from penstock.base.git import Git


@dataclass(frozen=True)
class Baselines:
    """Commits that are meant: all, the tips of branches and tags, the last `count` of some; else HEAD.

    A `count` below 1 means all first parents.
    """

    revisions: tuple[str, ...] = ()
    count: int = 1
    branches: bool = False
    tags: bool = False
    commits: bool = False

    @property
    def is_default(self) -> bool:
        """Whether nothing was asked for."""
        return not (self.revisions or self.branches or self.tags or self.commits)


def list_baselines(git: Git, wanted: Baselines) -> list[str]:
    """Return the full ids of the commits that are meant, each once; none before the first commit.

    Raises:
        NotFound: a revision does not exist.
    """
    if git.head() is None:
        return []
    found: list[str] = []
    limit = [] if wanted.count < 1 else [f"--max-count={wanted.count}"]
    if wanted.commits:
        return git.run("rev-list", "HEAD", "--branches", "--tags", "--remotes").split()
    for revision in wanted.revisions or (("HEAD",) if wanted.is_default or wanted.count != 1 else ()):
        found += git.run("rev-list", "--first-parent", *limit, git.resolve(revision)).split()
    for is_wanted, refs in ((wanted.branches, "refs/heads"), (wanted.tags, "refs/tags")):
        listed = git.run("for-each-ref", "--format=%(refname)", refs).split() if is_wanted else []
        found += [git.resolve(ref) for ref in listed]
    return list(dict.fromkeys(found))


def name_commits(git: Git, commits: Iterable[str]) -> dict[str, str | None]:
    """Return what commits are called: the branch that is checked out, else a tag, else a branch."""
    head, branch = git.head(), git.branch()
    tags: dict[str, str] = {}
    branches: dict[str, str] = {}
    lines = git.run(
        "for-each-ref", "--format=%(refname)%00%(objectname)%00%(*objectname)", "refs/tags", "refs/heads"
    )
    for line in lines.splitlines():
        ref, commit, peeled = line.split("\0")
        _, kind, name = ref.split("/", 2)
        (tags if kind == "tags" else branches).setdefault(peeled or commit, name)
    return {
        commit: branch if commit == head and branch else tags.get(commit) or branches.get(commit)
        for commit in commits
    }
