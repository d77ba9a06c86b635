"""Imports whose sources moved on: the locked commit against what the revision names now (`penstock status`).

Source: dvc/dependency/repo.py, `RepoDependency.workspace_status` (3.67).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from penstock.base.errors import PenstockError
from penstock.data.pointers.origins import origin_base
from penstock.data.pointers.pointer import Pointer
from penstock.flows.sources.repositories import current_commit
from penstock.storage.resolve import shown_url


def find_updates(root: Path, pointers: Iterable[Pointer]) -> tuple[dict[Path, str], list[str]]:
    """Return the imports from repositories that `update` would change, and a line for each that cannot be asked.

    The imports are pointer files with what DVC calls their source: the path and the repository's address.
    """
    commits: dict[tuple[str, str, Path], str | PenstockError] = {}
    behind: dict[Path, str] = {}
    unknown: list[str] = []
    for pointer in pointers:
        if not pointer.dependencies or "repo" not in pointer.dependencies[0]:
            continue
        dependency = pointer.dependencies[0]
        origin = dependency["repo"]
        url, rev = str(origin["url"]), str(origin.get("rev") or "HEAD")
        key = (url, rev, origin_base(root, pointer.path.parent, origin))
        if key not in commits:
            try:
                commits[key] = current_commit(*key)
            except PenstockError as error:
                commits[key] = error
        found = commits[key]
        if isinstance(found, PenstockError):
            unknown.append(f"{pointer.path.relative_to(root).as_posix()}: {found.message}")
        elif found != origin.get("rev_lock"):
            behind[pointer.path] = f"{dependency['path']} ({shown_url(url)})"
    return behind, unknown
