"""Outputs of another commit that are still in the workspace after git went elsewhere.

What `add` and `checkout` brought is noted in the state. A later checkout of everything removes what no pointer
declares any more, under four conditions: it is unchanged, the cache has all of it, git does not track it, and
some commit has the file that declared it. So nothing goes that cannot be brought back by its commit.

Source: dvc/repo/checkout.py, `_remove_unused_links` (3.67); differs in the last three conditions.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.base.errors import PenstockError
from penstock.data.cache.hashing import hash_path, hash_tree
from penstock.data.formats.output import HashInfo, Output
from penstock.data.git.ignored import is_tracked_by_git
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import check_parents

if TYPE_CHECKING:
    from penstock.base.git import Git


@dataclass(frozen=True)
class StalePlan:
    """What goes: paths of files, and directories with the files in them; and the notes that are out of date."""

    remove: tuple[tuple[Path, tuple[str, ...]], ...]
    forget: tuple[str, ...]


def note_outputs(repo: DataRepository, outputs: Iterable[tuple[Path, HashInfo, str]]) -> None:
    """Note what was brought to a path, and the file that declares it."""
    repo.state.save_outputs(
        [
            (repo.relative(path), info.md5, source.partition(":")[0])
            for path, info, source in outputs
            if info.algorithm == "md5"
        ]
    )


def plan_stale(repo: DataRepository, current: Collection[Output]) -> StalePlan:
    """Find what no output declares any more and can go; nothing is changed."""
    noted = repo.state.list_outputs()
    paths = {repo.relative(output.path) for output in current}
    candidates = [row for row in noted if row[0] not in paths]
    root = repo.git_root()
    if not candidates or root is None:
        return StalePlan((), ())
    from penstock.base.git import Git

    taken = {
        "/".join(parts[:depth])
        for path in paths
        for parts in [path.split("/")]
        for depth in range(1, len(parts) + 1)
    }
    git = Git(root)
    remove, forget = [], []
    for relative, md5, source in candidates:
        path = repo.root / relative
        if not os.path.lexists(path):
            forget.append(relative)
            continue
        is_inside = any(relative.startswith(f"{other}/") for other in paths)
        if relative in taken or is_inside or not _is_restorable(repo, git, path, md5, source):
            continue
        names = tuple(hash_tree(repo, path).files()) if md5.endswith(".dir") else ()
        remove.append((path, names))
        forget.append(relative)
    return StalePlan(tuple(remove), tuple(forget))


def apply_stale(repo: DataRepository, plan: StalePlan) -> None:
    """Remove the planned files, and directories that this leaves empty."""
    for path, names in plan.remove:
        folders = {str(path)}
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(path / name)
            folder = os.path.dirname(name)
            while folder:
                folders.add(str(path / folder))
                folder = os.path.dirname(folder)
        if not names and not path.is_dir():
            path.unlink()
            continue
        for folder in sorted(folders, key=len, reverse=True):
            with suppress(OSError):
                os.rmdir(folder)
    if plan.forget:
        repo.state.forget_outputs(plan.forget)


def _is_restorable(repo: DataRepository, git: Git, path: Path, md5: str, source: str) -> bool:
    try:
        check_parents(repo, path)
        if path.is_symlink() and md5.endswith(".dir"):
            return False
        if hash_path(repo, path).md5 != md5 or not repo.cache.has_md5(md5):
            return False
        if md5.endswith(".dir") and repo.cache.missing(set(repo.cache.load_tree(HashInfo(md5)).values())):
            return False
    except (PenstockError, OSError):
        return False
    if is_tracked_by_git(git.root, os.path.relpath(path, git.root)):
        return False
    declared = os.path.relpath(repo.root / source, git.root)
    return bool(git.run("log", "-1", "--all", "--format=%H", "--", f":(literal){declared}", check=False))
