"""Turn links into the cache back into files of their own, so that they can be edited (`unprotect`)."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from penstock.base.errors import NotFound
from penstock.base.staging import remove_stale, staging_name
from penstock.data.pointers.pointer import check_inside
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import check_parents


def unprotect(repo: DataRepository, path: Path) -> int:
    """Make every linked or read-only file at or below `path` an ordinary one; return how many were.

    Raises:
        NotFound: nothing is there.
    """
    check_inside(repo, path, "unprotect")
    check_parents(repo, path)
    if not path.exists():
        raise NotFound(f"{path} does not exist", code="data.path_missing", hint="penstock checkout")
    staging = repo.dvc_dir / "tmp" / "penstock"
    staging.mkdir(parents=True, exist_ok=True)
    remove_stale(str(staging))
    files = [str(path)]
    if path.is_dir() and not path.is_symlink():
        files = [os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names]
    return sum(_unprotect_file(file, f"{staging}/{staging_name()}") for file in files)


def _unprotect_file(path: str, temporary: str) -> bool:
    info = os.lstat(path)
    is_link = stat.S_ISLNK(info.st_mode)
    if not is_link and info.st_nlink == 1 and info.st_mode & stat.S_IWUSR:
        return False
    if is_link and not os.path.isfile(path):
        return False
    shutil.copyfile(path, temporary)
    executable = 0 if is_link else info.st_mode & 0o111
    os.chmod(temporary, os.stat(temporary).st_mode | stat.S_IWUSR | executable)
    os.replace(temporary, path)
    return True
