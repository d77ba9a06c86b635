"""A clean working tree of one commit, beside the user's, gone afterwards.

Its folder's name carries the process id, so that what a killed process left behind is found and removed
by the next one.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from penstock.base.errors import Invalid, PenstockError
from penstock.base.files import locked
from penstock.base.git import Git, find_git_root
from penstock.base.running import is_running
from penstock.pipeline.running.survivors import end_survivors
from penstock.project.project import Project
from penstock.project.submodules import bring_submodules

LOCK = "penstock-worktrees.lock"
WAIT_S = 120.0


@contextmanager
def clean_worktree(project: Project, commit: str, actor: str) -> Iterator[Project]:
    """Yield the project as it is at `commit`, in a tree of its own that shares store and cache.

    Errors, also of what is done with it, name files by their places in the project: the tree is gone when they are read.

    Raises:
        Invalid: the project is not in a git repository, or is not there at that commit; a submodule cannot be brought.
        Conflict: what a killed process began in its tree cannot be ended.
    """
    git_root = require_git(project)
    place = project.root.relative_to(git_root)
    home = project.home / "worktrees"
    home.mkdir(exist_ok=True)
    trees = _Trees(Git(git_root))
    _remove_abandoned(trees, home, place)
    tree = home / f"{os.getpid()}-{secrets.token_hex(4)}"
    try:
        trees.add(tree, commit)
        Git(tree).run("checkout", "--quiet", "--force", "--detach", commit)
        bring_submodules(tree, git_root)
        root = tree / place
        if not (root / ".dvc").is_dir():
            raise Invalid(
                f"commit {commit[:10]} has no penstock repository",
                code="ci.no_repository",
                hint="choose a commit after penstock init",
            )
        from penstock.project.settings import load_project_settings

        inside = project.at(root, load_project_settings(root), actor)
        try:
            yield inside
        finally:
            inside.close()
    except PenstockError as error:
        _name_in_project(error, f"{tree / place}{os.sep}")
        raise
    finally:
        trees.remove(tree)


def _name_in_project(error: PenstockError, before: str) -> None:
    error.message = error.message.replace(before, "")
    error.args = (error.message,)
    error.hint = None if error.hint is None else error.hint.replace(before, "")
    texts = {key: one for key, one in error.fields.items() if isinstance(one, str)}
    error.fields |= {key: one.replace(before, "") for key, one in texts.items()}


def require_git(project: Project) -> Path:
    """Return the root of the git repository the project lies in.

    Raises:
        Invalid: there is none.
    """
    git_root = find_git_root(project.root)
    if git_root is None:
        raise Invalid(
            f"{project.root} is not in a git repository",
            code="git.missing_repository",
            hint="git init && git add -A && git commit",
        )
    return git_root


class _Trees:
    """Lists, adds and removes trees of a repository, each while no other thread or process of ours does.

    Git takes away its folder of trees with the last one, also beneath another git that is about to add one; and it gives
    up where a tree that it lists goes meanwhile. Four threads saw that in 4 of 100 calls.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._lock = git.root / git.run("rev-parse", "--git-common-dir") / LOCK

    def add(self, tree: Path, commit: str) -> None:
        """Make a tree that is still empty."""
        with self._locked():
            self._git.run("worktree", "add", "--quiet", "--detach", "--no-checkout", str(tree), commit)

    def remove(self, tree: Path) -> None:
        """Remove a tree, if it is there; those of others stay, also where their disks are not mounted."""
        shutil.rmtree(tree, ignore_errors=True)
        with self._locked():
            self._git.run("worktree", "remove", "--force", "--force", str(tree), check=False)

    def names(self, home: Path) -> list[str]:
        """Return the names of the trees below a folder, also of those that only git knows of."""
        with self._locked():
            known = self._git.run("worktree", "list", "--porcelain").splitlines()
        noted = [Path(line.removeprefix("worktree ")) for line in known if line.startswith("worktree ")]
        return sorted({*os.listdir(home), *(one.name for one in noted if one.parent == home.resolve())})

    def _locked(self) -> AbstractContextManager[object]:
        return locked(
            self._lock, wait_s=WAIT_S, holder_hint="wait until it ends, then run this command again"
        )


def _remove_abandoned(trees: _Trees, home: Path, place: Path) -> None:
    """Take away the trees of processes that were killed, after ending what these had begun there."""
    for name in trees.names(home):
        pid = name.partition("-")[0]
        if not (pid.isdigit() and is_running(int(pid))):
            end_survivors(home / name / place)
            trees.remove(home / name)
