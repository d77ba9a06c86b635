"""Turn what is in the workspace into the configured kind of link to its objects, or back into copies.

Contents stay as they are; only how a file is kept changes.

Source: dvc/output.py, `Output.checkout(relink=True)`, and dvc_data/hashfile/checkout.py, `_determine_files_to_relink`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from penstock.base.links import LinkKind
from penstock.data.cache import placing
from penstock.data.cache.hashing import HashedTree, hash_path, hash_tree
from penstock.data.cache.placing import Placer
from penstock.data.formats.output import HashInfo, Output
from penstock.data.repository import DataRepository


def relink_saved(repo: DataRepository, path: Path, info: HashInfo, tree: HashedTree | None) -> None:
    """Link a path whose content was just saved. Where copies are configured only symbolic links are replaced.

    Args:
        tree: what a directory holds; None for a file.
    """
    kind = placing.choose_kind(repo, path.parent)
    is_plain = kind in {"copy", "reflink"}
    if tree is None:
        if not is_plain or path.is_symlink():
            _place(repo, [(path, info.md5, info.isexec)])
        return
    if is_plain and not tree.scan.links:
        return
    files = tree.files()
    names = tree.scan.links if is_plain else files
    _place(repo, [(path / name, files[name], False) for name in names])


def relink_output(repo: DataRepository, output: Output) -> int:
    """Give every file of an output that is up to date the configured kind; return how many were changed."""
    info, path = output.hash, output.path
    if info is None or not output.cached or info.algorithm != "md5" or not os.path.lexists(path):
        return 0
    if info.is_tree != (path.is_dir() and not path.is_symlink()):
        return 0
    if info.is_tree:
        found = hash_tree(repo, path)
        files = [(path / name, md5, False) for name, md5 in found.files().items()]
        current = found.info.md5
    else:
        files = [(path, info.md5, info.isexec)]
        current = hash_path(repo, path).md5
    if current != info.md5:
        return 0
    kind = placing.choose_kind(repo, path.parent)
    wrong = [one for one in files if not _is_kept_as(repo, one[0], one[1], kind)]
    _place(repo, wrong)
    return len(wrong)


def _is_kept_as(repo: DataRepository, path: Path, md5: str, kind: LinkKind) -> bool:
    """Say whether a file is already what the kind would make; a reflink cannot be told from a copy."""
    object_path = repo.cache.path(md5)
    now = os.lstat(path)
    if kind == "symlink":
        return stat.S_ISLNK(now.st_mode) and os.readlink(path) == object_path
    if not stat.S_ISREG(now.st_mode):
        return False
    try:
        is_shared = os.path.samestat(now, os.stat(object_path))
    except OSError:
        is_shared = False
    return (is_shared or now.st_size == 0) if kind == "hardlink" else not is_shared


def _place(repo: DataRepository, files: Iterable[tuple[Path, str, bool]]) -> None:
    placer: Placer | None = None
    for path, md5, executable in files:
        placer = placer or Placer(repo)
        placer.place_file(md5, path, executable=executable)
    if placer is not None:
        placer.finish()
