"""Verbs on paths of the workspace, under the repository's lock: move, unprotect."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from penstock.base.git import Git
from penstock.data.lock import repository_lock
from penstock.data.repository import DataRepository
from penstock.data.rwlock import check_writable
from penstock.data.verbs.moving import apply_move, plan_move
from penstock.data.verbs.protection import unprotect


def move_path(repo: DataRepository, source: Path, target: Path) -> tuple[Path, ...]:
    """Move a tracked path and its pointer; return the files that changed for git.

    Raises:
        NotFound: it is not tracked by a pointer of its own.
        Conflict: something is at the target, or a running DVC stage uses one of the paths.
    """
    with repository_lock(repo):
        source, target = (Path(os.path.normpath(path.absolute())) for path in (source, target))
        check_writable(repo, (source, target))
        changed = apply_move(repo, plan_move(repo, source, target))
    root = repo.git_root()
    if root is not None and repo.config.is_set("core", "autostage"):
        Git(root).run("add", "-A", "--", *(str(path) for path in changed))
    return changed


def unprotect_paths(repo: DataRepository, paths: Sequence[Path]) -> int:
    """Turn links into files of their own; return how many were links or read-only."""
    with repository_lock(repo):
        check_writable(repo, paths)
        return sum(unprotect(repo, Path(os.path.normpath(path))) for path in paths)
