"""What below `.dvc` is a program's own: directories that are written to, and that no repository may redirect.

A clone can bring symbolic links for them, which would lead what is written out of the repository: a lock is
emptied and gets a process id, the state file is a database. Whoever made a link of `.dvc/tmp` or `.dvc/cache`
in one place (to have it on another disk) has not committed it.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path

from penstock.base.errors import Invalid

_REDIRECTED = ("", "tmp", "cache", "cache/files", "cache/files/md5", "cache/tmp")
_WRITTEN = {"btime", "lock", "rwlock", "rwlock.lock"}  # DVC's; Penstock's own begin with its name
KEPT = "penstock-kept"


def check_private(root: Path, dvc_dir: Path) -> None:
    """Make sure that nothing below `.dvc` that is written to leads elsewhere.

    Raises:
        Invalid: a link was committed in its place, or lies in `.dvc/tmp`.
    """
    base = str(dvc_dir)
    for name in _REDIRECTED:
        path = os.path.join(base, name) if name else base
        if os.path.islink(path) and _is_committed(root, path):
            raise _refused(root, path, "which git brought")
    for path in _links(f"{base}/tmp"):
        raise _refused(root, path, "where only programs write")


def _links(folder: str) -> list[str]:
    """Return the links among the files that DVC and Penstock write to in `.dvc/tmp`, and in what is kept there."""
    found: list[str] = []
    kept: list[str] = []
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(folder) as listing:
        for entry in listing:
            if entry.name not in _WRITTEN and not entry.name.startswith("penstock"):
                continue
            if entry.is_symlink():
                found.append(entry.path)
            elif entry.name == KEPT:
                kept.append(entry.path)
    for path in kept:
        with suppress(PermissionError), os.scandir(path) as listing:
            found += [entry.path for entry in listing if entry.is_symlink()]
    return found


def _is_committed(root: Path, path: str) -> bool:
    from penstock.base.git import Git, find_git_root

    if find_git_root(root) is None:
        return False
    return Git(root).run("ls-files", "--", os.path.relpath(path, root), check=False) != ""


def _refused(root: Path, path: str, why: str) -> Invalid:
    name = os.path.relpath(path, root)
    return Invalid(
        f"{name} is a symbolic link to {os.readlink(path)}, {why}: writing there would leave the repository",
        code="data.link_in_private",
        hint=f"if you trust nothing behind it: rm {shlex.quote(name)}",
        path=name,
    )
