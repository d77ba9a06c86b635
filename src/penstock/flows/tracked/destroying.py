"""Stop versioning data in a repository: what `penstock destroy` removes.

Source: dvc/repo/destroy.py (3.67).
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from penstock.base.errors import Refused
from penstock.base.numbers import counted
from penstock.data.files.private import KEPT
from penstock.data.lock import repository_lock
from penstock.data.pointers.metafiles import find_definitions, find_pointer_files
from penstock.data.pointers.pointer import load_pointer
from penstock.data.repository import DataRepository
from penstock.data.rwlock import check_writable
from penstock.data.verbs.keeping import list_kept
from penstock.data.verbs.protection import unprotect
from penstock.flows.tracked.remotes.report import named
from penstock.pipeline.lockfile import LOCK_FILE
from penstock.pipeline.outputs import list_outputs


def destroy_repository(repo: DataRepository, *, drop_kept: bool = False) -> list[Path]:
    """Remove pointers, pipeline files, `.dvcignore` and `.dvc`; return what went, `.dvc` as the last.

    Links into the cache become files of their own before it goes, so a kill in between loses no data: rerun it.

    Args:
        drop_kept: whether copies of work that exists nowhere else go too.

    Raises:
        Refused: there are such copies, and `drop_kept` was not given; nothing is removed.
    """
    removed: list[Path] = []
    with repository_lock(repo):
        kept = list_kept(repo)
        if kept and not drop_kept:
            raise Refused(
                f"destroy would remove work that exists nowhere else: {told_kept(repo, kept)}",
                code="data.kept_work",
                hint=f"mv {shlex.quote(repo.relative(repo.dvc_dir / 'tmp' / KEPT))} elsewhere, or penstock destroy --force --drop-kept",
                paths=[repo.relative(path) for path in kept],
            )
        check_writable(repo, [repo.root])
        pointers = find_pointer_files(repo)
        for path in pointers:
            for output in load_pointer(repo, path).outputs:
                if os.path.lexists(output.path):
                    unprotect(repo, output.path)
        for output in list_outputs(repo):
            if os.path.lexists(output.path):
                unprotect(repo, output.path)
        definitions = find_definitions(repo)
        locks = [path.with_name(LOCK_FILE) for path in definitions]
        for path in (*pointers, *definitions, *locks, repo.root / ".dvcignore"):
            if path.is_file():
                path.unlink()
                removed.append(path)
    repo.close()
    shutil.rmtree(repo.dvc_dir)
    return [*removed, repo.dvc_dir]


def told_kept(repo: DataRepository, kept: Sequence[Path]) -> str:
    """Say how many files were kept, how large they are together, and the first of them."""
    size = sum(path.lstat().st_size for path in kept)
    return f"{counted(len(kept), 'file')} ({counted(size, 'byte')}): {named([repo.relative(path) for path in kept])}"
