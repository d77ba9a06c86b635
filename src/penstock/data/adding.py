"""Start tracking paths, record their changes, stop tracking them: the verbs that write pointers.

The objects are in the cache before the pointer names them, and the pointer is there before git is told to
ignore the path, so a kill in between leaves nothing that points nowhere.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Conflict, Invalid, NotFound
from penstock.data.checkout import check_parents, relink
from penstock.data.gitignore import ignore_path, unignore_path
from penstock.data.hashing import save_path
from penstock.data.output import HashInfo, Output
from penstock.data.pointer import (
    SUFFIX,
    Pointer,
    check_inside,
    find_owner,
    find_pointer,
    pointer_path,
    save_text,
)
from penstock.data.rendering import render_new, render_updated
from penstock.data.repository import DataRepository


@dataclass(frozen=True)
class Added:
    """What `add_path` or `commit_pointer` did: the pointer, its content, and the files git should take.

    `path` is the (last) output, which holds that content.
    """

    pointer: Path
    hash: HashInfo
    changed: tuple[Path, ...]
    path: Path


def add_path(repo: DataRepository, path: Path) -> Added:
    """Track a file or directory: store its content, write its pointer, have git ignore it.

    A path inside a tracked directory updates that directory.

    Raises:
        NotFound: nothing is there.
        Conflict: git tracks it, or it lies around or inside something tracked otherwise.
        Invalid: it is outside the repository or is a pointer itself.
    """
    path = Path(os.path.normpath(path.absolute()))
    if not os.path.lexists(path):
        raise NotFound(f"{path} does not exist", code="data.path_missing", path=str(path))
    check_inside(repo, path, "add")
    if path.name.endswith(SUFFIX) or path.name in {"dvc.yaml", "dvc.lock", ".gitignore", ".dvcignore"}:
        raise Invalid(
            f"{repo.relative(path)} describes data and is kept by git", code="data.is_pointer", path=str(path)
        )
    check_parents(repo, path)
    owner = find_owner(repo, path)
    if owner is not None and owner.outputs[0].path != path:
        return commit_pointer(repo, owner)
    pointer = owner or find_pointer(repo, path)
    info = save_path(repo, path)
    where = pointer.path if pointer else pointer_path(path)
    text = render_new(path.name, info) if pointer is None else _updated(pointer, path, info)
    changed: list[Path] = []
    ignored = ignore_path(repo, path)
    if save_text(where, text):
        changed.append(where)
    if ignored is not None:
        changed.append(ignored)
    relink(repo, path, info)
    return Added(where, info, tuple(changed), path)


def _updated(pointer: Pointer, path: Path, info: HashInfo) -> str:
    for index, output in enumerate(pointer.outputs):
        if output.path == path:
            old = output.hash
            if old is not None and old == info:
                return pointer.text
            return render_updated(pointer, index, info)
    raise Conflict(
        f"{pointer.path.name} tracks another path than {path.name}", code="data.pointer_taken", path=str(path)
    )


def commit_pointer(repo: DataRepository, pointer: Pointer) -> Added:
    """Store what a pointer's paths hold now and write their digests into it.

    Raises:
        NotFound: a path is missing.
    """
    text = pointer.text
    info: HashInfo | None = None
    changed: list[Path] = []
    for index, output in enumerate(pointer.outputs):
        check_parents(repo, output.path)
        info = save_path(repo, output.path)
        if info != output.hash:
            current = Pointer(pointer.path, pointer.outputs, pointer.out_entries, text=text)
            text = render_updated(current, index, info)
        relink(repo, output.path, info)
    if info is None:
        raise Invalid(f"{pointer.path.name} has no output", code="data.bad_pointer", path=str(pointer.path))
    if save_text(pointer.path, text):
        changed.append(pointer.path)
    return Added(pointer.path, info, tuple(changed), pointer.outputs[-1].path)


def remove_pointer(repo: DataRepository, pointer: Pointer, *, with_data: bool = False) -> tuple[Path, ...]:
    """Stop tracking: delete the pointer and its `.gitignore` entries; the data stays unless asked.

    Returns the files that changed for git.
    """
    changed = [pointer.path]
    for output in pointer.outputs:
        ignored = unignore_path(repo, output.path)
        if ignored is not None:
            changed.append(ignored)
        if with_data and os.path.lexists(output.path):
            _delete(output)
    pointer.path.unlink()
    return tuple(changed)


def _delete(output: Output) -> None:
    if output.path.is_dir() and not output.path.is_symlink():
        shutil.rmtree(output.path)
    else:
        output.path.unlink()
