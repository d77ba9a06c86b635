"""Stop versioning data in a repository: what `penstock destroy` removes.

Source: dvc/repo/destroy.py (3.67).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from penstock.data.lock import repository_lock
from penstock.data.pointer import find_pointer_files, load_pointer
from penstock.data.protection import unprotect
from penstock.data.repository import DataRepository
from penstock.pipeline.outputs import list_outputs

PIPELINE_FILES = ("dvc.yaml", "dvc.lock")


def destroy_repository(repo: DataRepository) -> list[Path]:
    """Remove pointers, pipeline files, `.dvcignore` and `.dvc`; return what went, `.dvc` as the last.

    Links into the cache become files of their own before it goes, so a kill in between loses no data: rerun it.
    """
    removed: list[Path] = []
    with repository_lock(repo):
        pointers = find_pointer_files(repo)
        for path in pointers:
            for output in load_pointer(repo, path).outputs:
                if os.path.lexists(output.path):
                    unprotect(repo, output.path)
        for output in list_outputs(repo.root):
            if os.path.lexists(output.path):
                unprotect(repo, output.path)
        for path in (*pointers, *(repo.root / name for name in PIPELINE_FILES), repo.root / ".dvcignore"):
            if path.is_file():
                path.unlink()
                removed.append(path)
    repo.close()
    shutil.rmtree(repo.dvc_dir)
    return [*removed, repo.dvc_dir]
