"""Stop versioning data in a repository: what `penstock destroy` removes.

Source: dvc/repo/destroy.py (3.67).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from penstock.data.lock import repository_lock
from penstock.data.pointers.metafiles import find_definitions, find_pointer_files
from penstock.data.pointers.pointer import load_pointer
from penstock.data.repository import DataRepository
from penstock.data.rwlock import check_writable
from penstock.data.verbs.protection import unprotect
from penstock.pipeline.lockfile import LOCK_FILE
from penstock.pipeline.outputs import list_outputs


def destroy_repository(repo: DataRepository) -> list[Path]:
    """Remove pointers, pipeline files, `.dvcignore` and `.dvc`; return what went, `.dvc` as the last.

    Links into the cache become files of their own before it goes, so a kill in between loses no data: rerun it.
    """
    removed: list[Path] = []
    with repository_lock(repo):
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
