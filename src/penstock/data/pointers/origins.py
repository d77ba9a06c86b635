"""From where a relative address of an import's repository counts.

DVC writes such an address as it was typed, and resolves it from the directory where each command is called, so
what is imported at the root is found from the root only, and what is imported in a directory from that directory
only. Here it counts from the root; from the pointer's directory where nothing is found so, as what was imported in
that directory. What is written counts from the root always: there both find it.

Source: dvc/dependency/repo.py, `RepoDependency._make_fs` (3.67).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.base.errors import PenstockError


def origin_base(root: Path, folder: Path, origin: Mapping[str, Any]) -> Path:
    """Return the directory from which the address of an import counts.

    Where it leads to a directory from both, the one that knows the locked commit is meant.

    Args:
        root: the repository's.
        folder: the pointer's.
        origin: what the pointer says of the repository: `url`, `rev_lock`.
    """
    url, commit = str(origin["url"]), origin.get("rev_lock")
    found = [base for base in dict.fromkeys((root, folder)) if _is_local(url) and _place(base, url).is_dir()]
    if len(found) > 1 and commit:
        found = [base for base in found if _knows(_place(base, url), str(commit))] or found
    return found[0] if found else root


def seen_from_root(root: Path, base: Path, url: str) -> str:
    """Return an address that counts from `base` as one that counts from the root, others as they are."""
    if not _is_local(url) or not _place(base, url).is_dir() or base.resolve() == root.resolve():
        return url
    return os.path.relpath(_place(base, url), root)


def _is_local(url: str) -> bool:
    return "://" not in url and not os.path.isabs(url) and not url.startswith("~")


def _place(base: Path, url: str) -> Path:
    return Path(os.path.normpath(base / url))


def _knows(place: Path, commit: str) -> bool:
    from penstock.base.git import Git

    try:
        return Git(place).resolve(commit) == commit
    except PenstockError:
        return False
