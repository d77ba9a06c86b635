"""Copies of work that exists nowhere else, made before it is overwritten or removed.

They lie in `.dvc/tmp/penstock-kept/<time>`, under their own names.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from penstock.data.cache.hashing import hash_path, hash_tree
from penstock.data.files.obstacles import list_files
from penstock.data.files.private import KEPT
from penstock.data.files.regular import is_special
from penstock.data.repository import DataRepository


def keep(
    repo: DataRepository, paths: tuple[Path, ...], take: Callable[[Path, Path], object] = Path.rename
) -> None:
    """Move files, or what else `take` does with them, to where they are kept."""
    if not paths:
        return
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
    kept = repo.dvc_dir / "tmp" / KEPT / name
    repo.kept.append(kept)
    for path in paths:
        target = kept / path.relative_to(repo.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            take(path, target)


def list_kept(repo: DataRepository) -> list[Path]:
    """Return the files that were kept and that nobody has taken away since, the oldest first."""
    home = repo.dvc_dir / "tmp" / KEPT
    return [Path(folder, name) for folder, _, names in sorted(os.walk(home)) for name in sorted(names)]


def keep_unsaved(repo: DataRepository, path: Path) -> None:
    """Copy what is at a path and in no cache to where it is kept; the path is about to be replaced or removed."""
    import shutil

    if not path.exists() or is_special(path):
        return
    if path.is_dir():
        files = () if path.is_symlink() else find_unsaved(repo, path)
    else:
        files = () if repo.cache.has_md5(hash_path(repo, path).md5) else (path,)
    keep(repo, files, shutil.copy2)


def find_odd(path: Path) -> Iterator[Path]:
    """Yield what is at or below a path and no scan counts: links to directories or to nothing, and special files."""
    if not path.is_dir() or path.is_symlink():
        if not path.is_file():
            yield path
        return
    for parent, folders, files in os.walk(path):
        yield from (Path(parent, name) for name in folders if os.path.islink(os.path.join(parent, name)))
        yield from (Path(parent, name) for name in files if not os.path.isfile(os.path.join(parent, name)))


def find_unsaved(repo: DataRepository, folder: Path) -> tuple[Path, ...]:
    """Return the files of a directory whose content no object of the cache has, ignored ones too."""
    files = hash_tree(repo, folder).files()
    hidden = (name for name in list_files(folder) if name not in files)
    files.update({name: hash_path(repo, folder / name).md5 for name in hidden})
    return tuple(folder / name for name, md5 in files.items() if not repo.cache.has_md5(md5))
