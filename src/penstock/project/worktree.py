"""A clean working tree of one commit, beside the user's, gone afterwards.

Its folder's name carries the process id, so that what a killed process left behind is found and removed
by the next one.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.base.errors import Invalid, PenstockError
from penstock.base.git import Git, find_git_root
from penstock.base.running import is_running
from penstock.pipeline.running.survivors import end_survivors
from penstock.project.project import Project
from penstock.project.settings import load_project_settings
from penstock.project.submodules import bring_submodules


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
    _remove_abandoned(git_root, home, place)
    tree = home / f"{os.getpid()}-{secrets.token_hex(4)}"
    git = Git(git_root)
    git.run("worktree", "add", "--quiet", "--detach", str(tree), commit)
    try:
        bring_submodules(tree, git_root)
        root = tree / place
        if not (root / ".dvc").is_dir():
            raise Invalid(
                f"commit {commit[:10]} has no penstock repository",
                code="ci.no_repository",
                hint="choose a commit after penstock init",
            )
        inside = project.at(root, load_project_settings(root), actor)
        try:
            yield inside
        finally:
            inside.close()
    except PenstockError as error:
        _name_in_project(error, f"{tree / place}{os.sep}")
        raise
    finally:
        _remove(git, tree)


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


def _remove_abandoned(git_root: Path, home: Path, place: Path) -> None:
    """Take away the trees of processes that were killed, after ending what these had begun there."""
    git = Git(git_root)
    for tree in home.iterdir():
        pid = tree.name.partition("-")[0]
        if not (pid.isdigit() and is_running(int(pid))):
            end_survivors(tree / place)
            _remove(git, tree)


def _remove(git: Git, tree: Path) -> None:
    git.run("worktree", "remove", "--force", "--force", str(tree), check=False)
    shutil.rmtree(tree, ignore_errors=True)
    git.run("worktree", "prune", check=False)
