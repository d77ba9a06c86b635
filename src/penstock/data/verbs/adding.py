"""Start tracking paths, record their changes, stop tracking them: the verbs that write pointers.

The objects are in the cache before the pointer names them, and the pointer is there before git is told to
ignore the path, so a kill in between leaves nothing that points nowhere.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Conflict, Invalid, NotFound, PenstockError
from penstock.base.files import remove_path
from penstock.data.cache.hashing import HashedTree, hash_path, hash_tree, save_path, save_tree
from penstock.data.cache.relinking import relink_saved
from penstock.data.formats.output import HashInfo, Output
from penstock.data.formats.tree import render_tree
from penstock.data.git.ignored import check_not_tracked, check_seen_by_git, ignore_path, unignore_path
from penstock.data.pointers.metafiles import SUFFIX
from penstock.data.pointers.pointer import (
    Pointer,
    check_inside,
    find_owner,
    find_pointer,
    load_pointer,
    pointer_path,
    save_text,
)
from penstock.data.pointers.rendering import render_new, render_updated
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import check_parents


@dataclass(frozen=True)
class Added:
    """What `add_path` or `commit_pointer` did: the pointer, its content, and the files git should take.

    `path` is the (last) output, which holds that content.
    """

    pointer: Path
    hash: HashInfo
    changed: tuple[Path, ...]
    path: Path


def add_path(
    repo: DataRepository,
    path: Path,
    others: Callable[[], Iterable[Output]] = tuple,
    *,
    store: bool = True,
    relink: bool = True,
) -> Added:
    """Track a file or directory: store its content, write its pointer, have git ignore it.

    A path inside a tracked directory updates that directory by this path alone; one that is gone is taken out.

    Args:
        others: outputs that are not declared by pointers (a pipeline's).
        store: put the content into the cache; without it only the pointer is written, for a later commit.
        relink: replace files by links where links are configured.

    Raises:
        NotFound: nothing is there.
        Conflict: git tracks it, or it lies around or inside something tracked otherwise.
        Invalid: it is outside the repository, a pointer itself, excluded, or a link to a directory.
    """
    path = Path(os.path.normpath(path.absolute()))
    check_inside(repo, path, "add")
    if path.name.endswith(SUFFIX) or path.name in {"dvc.yaml", "dvc.lock", ".gitignore", ".dvcignore"}:
        raise Invalid(
            f"{repo.relative(path)} describes data and is kept by git", code="data.is_pointer", path=str(path)
        )
    check_parents(repo, path)
    _check_no_link(repo, path)
    owner = find_owner(repo, path)
    if owner is not None and owner.outputs[0].path != path:
        return add_inside(repo, owner, path, relink=relink)
    if not os.path.lexists(path):
        raise NotFound(f"{path} does not exist", code="data.path_missing", path=str(path))
    check_not_ignored(repo, path)
    _check_overlap(repo, path, others())
    pointer = owner or find_pointer(repo, path)
    if pointer is None:
        check_seen_by_git(repo, pointer_path(path))
    is_cached = pointer is None or all(one.cached for one in pointer.outputs if one.path == path)
    if pointer is None:
        check_not_tracked(repo, path)
    info, tree = (_save if store and is_cached else _measure)(repo, path)
    if tree is not None:
        _check_nested(repo, path, tree)
        if not tree.scan.names and any(names for _, _, names in os.walk(path)):
            repo.emptied.append(path)
    where = pointer.path if pointer else pointer_path(path)
    text = render_new(path.name, info) if pointer is None else _updated(pointer, path, info)
    changed: list[Path] = []
    ignored = ignore_path(repo, path) if is_cached else None
    if save_text(where, text):
        changed.append(where)
    if ignored is not None:
        changed.append(ignored)
    if store and relink and is_cached:
        relink_saved(repo, path, info, tree)
    return Added(where, info, tuple(changed), path)


def _check_no_link(repo: DataRepository, path: Path) -> None:
    """Refuse a link to a directory: what is stored would be outside, and nothing could be written back."""
    if path.is_symlink() and path.is_dir():
        raise Invalid(
            f"{repo.relative(path)} is a symbolic link to a directory",
            code="data.symlink",
            hint="add the directory itself, or put it here",
            path=str(path),
        )


def check_not_ignored(repo: DataRepository, path: Path) -> None:
    """Refuse a path that `.dvcignore` excludes, or one below such a directory.

    Raises:
        Invalid: as said.
    """
    is_dir = path.is_dir()
    while path != repo.root:
        if repo.ignore.is_ignored(str(path), is_dir):
            name = repo.relative(path)
            raise Invalid(
                f"{name} is excluded by .dvcignore",
                code="data.ignored",
                hint=f"penstock check-ignore -d {shlex.quote(name)} shows the pattern",
                path=name,
            )
        path, is_dir = path.parent, True


def add_inside(repo: DataRepository, owner: Pointer, path: Path, *, relink: bool = True) -> Added:
    """Record one path inside a tracked directory, as it is now, and nothing else of the directory.

    Raises:
        NotFound: neither the workspace nor the directory has such a path, or the directory's list is not cached.
    """
    index, output = next((at, one) for at, one in enumerate(owner.outputs) if path.is_relative_to(one.path))
    within = path.relative_to(output.path).as_posix()
    known = repo.cache.load_tree(output.hash) if output.hash is not None else {}
    gone = {name: md5 for name, md5 in known.items() if name == within or name.startswith(f"{within}/")}
    fresh: dict[str, str] = {}
    size: int | None = 0
    saved: tuple[HashInfo, HashedTree | None] | None = None
    if os.path.lexists(path):
        check_not_ignored(repo, path)
        info, tree = saved = _save(repo, path)
        fresh = (
            {within: info.md5}
            if tree is None
            else {f"{within}/{name}": md5 for name, md5 in tree.files().items()}
        )
        size = info.size
    elif not gone:
        raise NotFound(f"{path} does not exist", code="data.path_missing", path=str(path))
    files = {**{name: md5 for name, md5 in known.items() if name not in gone}, **fresh}
    before = output.hash.size if output.hash is not None else 0
    # DVC leaves the size out where something was replaced or taken out
    total = None if gone or before is None or size is None else before + size
    info = HashInfo(repo.cache.put_tree(render_tree(files.items())), total, len(files))
    is_same = output.hash is not None and info.md5 == output.hash.md5
    text = owner.text if is_same else render_updated(owner, index, info)
    changed = (owner.path,) if save_text(owner.path, text) else ()
    if saved is not None and relink:
        relink_saved(repo, path, *saved)
    return Added(owner.path, info, changed, output.path)


def _save(repo: DataRepository, path: Path) -> tuple[HashInfo, HashedTree | None]:
    if path.is_dir():
        tree = save_tree(repo, path)
        return tree.info, tree
    return save_path(repo, path), None


def _measure(repo: DataRepository, path: Path) -> tuple[HashInfo, HashedTree | None]:
    if path.is_dir():
        tree = hash_tree(repo, path)
        return tree.info, tree
    return hash_path(repo, path), None


def _check_overlap(repo: DataRepository, path: Path, others: Iterable[Output]) -> None:
    for other in others:
        if path == other.path or path.is_relative_to(other.path) or other.path.is_relative_to(path):
            stage = other.source.rpartition(":")[2]
            raise Conflict(
                f"{repo.relative(path)} overlaps {repo.relative(other.path)}, an output of stage {stage}",
                code="data.overlap",
                hint=f"penstock repro {shlex.quote(stage)} makes and tracks it",
                path=str(path),
            )


def _check_nested(repo: DataRepository, path: Path, tree: HashedTree) -> None:
    """Refuse a directory in which something is tracked on its own."""
    for name in tree.scan.names:
        if not name.endswith(SUFFIX) or name == SUFFIX:
            continue
        try:
            outputs = load_pointer(repo, path / name).outputs
        except PenstockError:
            continue  # a file that is only called so
        for output in outputs:
            inner, pointer = repo.relative(output.path), repo.relative(path / name)
            raise Conflict(
                f"{repo.relative(path)} overlaps {inner}, which {pointer} tracks",
                code="data.overlap",
                hint=f"penstock remove {shlex.quote(pointer)}, then penstock add {shlex.quote(repo.relative(path))}",
                path=str(path),
            )


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


def commit_pointer(repo: DataRepository, pointer: Pointer, *, relink: bool = True) -> Added:
    """Store what a pointer's paths hold now and write their digests into it.

    Raises:
        NotFound: a path is missing.
        Invalid: a path is excluded by `.dvcignore`, a link to a directory or neither a file nor a directory.
    """
    text = pointer.text
    info: HashInfo | None = None
    changed: list[Path] = []
    for index, output in enumerate(pointer.outputs):
        check_parents(repo, output.path)
        _check_no_link(repo, output.path)
        check_not_ignored(repo, output.path)
        info, tree = (_save if output.cached else _measure)(repo, output.path)
        if info != output.hash:
            current = Pointer(pointer.path, pointer.outputs, pointer.out_entries, text=text)
            text = render_updated(current, index, info)
        if output.cached:
            ignored = ignore_path(repo, output.path)
            changed += [ignored] if ignored is not None else []
        if relink and output.cached:
            relink_saved(repo, output.path, info, tree)
    if info is None:
        raise Invalid(f"{pointer.path.name} has no output", code="data.bad_pointer", path=str(pointer.path))
    if save_text(pointer.path, text):
        changed.append(pointer.path)
    return Added(pointer.path, info, tuple(changed), pointer.outputs[-1].path)


def remove_pointer(repo: DataRepository, pointer: Pointer, *, with_data: bool = False) -> tuple[Path, ...]:
    """Stop tracking: delete the pointer and its `.gitignore` entries; the data stays unless asked.

    Data that stay become files of their own first: a link would lose its content with the next collection.
    Returns the files that changed for git.

    Raises:
        Invalid: an output leads out of the repository; nothing was changed.
    """
    from penstock.data.verbs.keeping import keep_unsaved
    from penstock.data.verbs.protection import unprotect

    for output in pointer.outputs:
        check_parents(repo, output.path)
    changed = [pointer.path]
    for output in pointer.outputs:
        if output.cached and not with_data and output.path.exists():
            unprotect(repo, output.path)
    for output in pointer.outputs:
        ignored = unignore_path(repo, output.path)
        if ignored is not None:
            changed.append(ignored)
        if with_data:
            keep_unsaved(repo, output.path)
            remove_path(output.path)
    pointer.path.unlink()
    return tuple(changed)
