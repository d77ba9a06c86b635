"""What a source holds, git's files and tracked data as one tree (`penstock list`, `penstock du`).

Source: dvc/repo/ls.py, dvc/repo/du.py (3.67).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock.base.errors import PenstockError
from penstock.data.files.ignore import BUILT_IN
from penstock.data.formats.output import Algorithm, HashInfo, Output
from penstock.flows.sources.repositories import Source, not_in_source, source_path


@dataclass(frozen=True)
class Item:
    """One file or directory of a source; `md5` is set for tracked content."""

    path: str
    is_dir: bool = False
    is_output: bool = False
    is_executable: bool = False
    size: int | None = None
    md5: str | None = None
    algorithm: Algorithm = "md5"
    contents: tuple[Item, ...] = ()

    def to_document(self, path: str) -> dict[str, Any]:
        """Return the entry of `dvc list --json`."""
        return {
            "isout": self.is_output,
            "isdir": self.is_dir,
            "isexec": self.is_executable,
            "size": self.size,
            "md5": self.md5,
            "path": path,
        }


def list_items(
    source: Source, path: str = "", *, recursive: bool = False, dvc_only: bool = False, level: int = 0
) -> list[dict[str, Any]]:
    """List one directory, or with `recursive` every file below it (down to `level` directories, 0 is all).

    Raises:
        NotFound: the path is not in the source.
    """
    source, path = source.enter(path)
    tree = build_tree(source, source_path(source, path), dvc_only=dvc_only, deep=recursive)
    base = source.repo.relative(source_path(source, path))
    base = "" if base == "." else base
    own = tree.get(base)
    if base and own is None:
        raise not_in_source(source, path)
    if own is not None and not own.is_dir:
        return [own.to_document(base.rpartition("/")[2])]
    head = f"{base}/" if base else ""
    found = {}
    for name, item in tree.items():
        if not name.startswith(head) or name == base:
            continue
        rest = name.removeprefix(head)
        depth = rest.count("/") + 1
        limit = level if recursive else 1
        if limit and depth > limit:
            continue
        if recursive and item.is_dir and depth != limit:
            continue
        found[rest] = item
    return [found[name].to_document(name) for name in sorted(found)]


def list_tree(source: Source, path: str = "", *, dvc_only: bool = False, level: int | None = None) -> Item:
    """Return a directory (or a file) with everything below it, down to `level` directories (None is all).

    Raises:
        NotFound: the path is not in the source.
    """
    called = path
    source, path = source.enter(path)
    place = source_path(source, path)
    tree = build_tree(source, place, dvc_only=dvc_only, deep=True)
    base = source.repo.relative(place)
    own = tree.get(base) if base != "." else None
    if own is None and base != ".":
        raise not_in_source(source, path)
    own = own or Item(".", is_dir=True, size=source.repo.root.stat().st_size)
    return replace(_fill(own, list(tree.values()), level), path=called or ".")


def nest(items: Sequence[Item], name: str, level: int | None = None) -> Item:
    """Return files of one directory as its tree, under the given name."""
    folders = {str(parent) for item in items for parent in list(Path(item.path).parents)[:-1]}
    inner = [*items, *(Item(folder, is_dir=True) for folder in folders)]
    return replace(_fill(Item(".", is_dir=True), inner, level), path=name)


def _fill(own: Item, items: Sequence[Item], level: int | None) -> Item:
    by_folder: dict[str, list[Item]] = {}
    for item in items:
        by_folder.setdefault(item.path.rpartition("/")[0] or ".", []).append(item)

    def fill(item: Item, depth: int) -> Item:
        if not item.is_dir or (level is not None and depth >= level):
            return item
        inner = sorted(by_folder.get(item.path, []), key=lambda one: one.path)
        return replace(item, contents=tuple(fill(one, depth + 1) for one in inner))

    return fill(own, 0)


def build_tree(source: Source, path: Path, *, dvc_only: bool, deep: bool) -> dict[str, Item]:
    """Return every file and directory at, above and (with `deep`, all the way) below `path`, by path."""
    items: dict[str, Item] = {}
    if not dvc_only:
        items.update(_disk_items(source, path, deep=deep))
    on_disk = not dvc_only  # else sizes are the recorded ones
    for output in source.outputs():
        near = output.path.is_relative_to(path) or path.is_relative_to(output.path)
        if not near:
            continue
        name = source.repo.relative(output.path)
        for parent in list(Path(name).parents)[:-1]:
            items.setdefault(str(parent), Item(str(parent), is_dir=True))
        info = output.hash
        isexec = info is not None and info.isexec
        is_dir = (info is not None and info.is_tree) or output.path.is_dir()
        _put(
            items,
            source,
            Item(
                name,
                is_dir,
                True,
                isexec,
                info.size if info else None,
                info.md5 if info else None,
                info.algorithm if info else "md5",
            ),
            on_disk=on_disk,
        )
        if info is not None and info.is_tree and (deep or path.is_relative_to(output.path)):
            for inner in _tree_items(source, name, info, output):
                _put(items, source, inner, on_disk=True)
    return items


def _tree_items(source: Source, name: str, info: HashInfo, output: Output) -> Iterator[Item]:
    folders: set[str] = set()
    listed = dict(output.files or ())  # the pointer of a cloud-versioned directory holds the list
    files = {path: one.md5 for path, one in listed.items()} if listed else source.load_tree(info)
    for relpath, md5 in files.items():
        for parent in list(Path(relpath).parents)[:-1]:
            if str(parent) not in folders:
                folders.add(str(parent))
                yield Item(f"{name}/{parent}", is_dir=True, is_output=True)
        size = listed[relpath].size if listed else None
        yield Item(f"{name}/{relpath}", is_output=True, md5=md5, algorithm=info.algorithm, size=size)


def _put(items: dict[str, Item], source: Source, item: Item, *, on_disk: bool) -> None:
    """Enter a tracked item; its size on disk counts where it is there."""
    if item.size is not None and not on_disk:
        items[item.path] = item
        return
    size = item.size
    try:
        info = (source.repo.root / item.path).stat()
        size = info.st_size
    except OSError:
        if size is None and item.md5 is not None and not item.is_dir:
            size = _object_size(source, HashInfo(item.md5, algorithm=item.algorithm))
    items[item.path] = replace(item, size=size)


def _object_size(source: Source, info: HashInfo) -> int | None:
    path = source.repo.cache.find(info)
    return Path(path).stat().st_size if path is not None else None


def _disk_items(source: Source, path: Path, *, deep: bool) -> Iterator[tuple[str, Item]]:
    rules, root = source.repo.ignore, source.repo.root
    pending = [path] if path.is_dir() else []
    if path.exists() and path != root:
        yield _disk_item(source, path)
    while pending:
        folder = pending.pop()
        for entry in sorted(folder.iterdir()):
            is_dir = entry.is_dir() and not entry.is_symlink()
            if entry.name in BUILT_IN or rules.is_ignored(str(entry), is_dir):
                continue
            yield _disk_item(source, entry)
            if is_dir and deep:
                pending.append(entry)


def _disk_item(source: Source, path: Path) -> tuple[str, Item]:
    name = source.repo.relative(path)
    info = path.lstat()
    is_dir = path.is_dir() and not path.is_symlink()
    executable = source.commit is not None and not is_dir and bool(info.st_mode & 0o100)
    return name, Item(name, is_dir, False, executable, info.st_size)


def disk_usage(source: Source, path: str = "", *, summarize: bool = False) -> list[tuple[str, int]]:
    """Return (path, bytes) for each entry of a directory and their total, as `dvc du` counts them.

    Files that describe data (`*.dvc`, `dvc.yaml`, `.dvcignore`) are left out, as DVC does.
    """
    rows: list[tuple[str, int]] = []
    listed = list_items(source, path)
    head = f"{path.rstrip('/')}/" if path else ""
    single = len(listed) == 1 and head.rstrip("/").endswith(str(listed[0]["path"])) and not listed[0]["isdir"]
    for entry in listed:
        if not single and _describes(str(entry["path"])):
            continue
        name = path if single else f"{head}{entry['path']}"
        rows.append((name, _total(source, name) if entry["isdir"] else int(entry["size"] or 0)))
    total = (path, sum(size for _, size in rows))
    return [total] if summarize or single else [*rows, total]


def _describes(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.endswith(".dvc") or name in {"dvc.yaml", ".dvcignore"}


def _total(source: Source, path: str) -> int:
    """Return the bytes below a directory; a tracked one of whose files not all sizes are known has that of its pointer."""
    try:
        listed = list_items(source, path, recursive=True)
    except PenstockError:
        return 0
    sizes = {str(entry["path"]): entry["size"] for entry in listed if not entry["isdir"]}
    place = source_path(source, path)
    total = 0
    for output in source.outputs():
        if output.hash is None or not output.hash.is_tree or not output.path.is_relative_to(place):
            continue
        base = output.path.relative_to(place).as_posix()
        head = "" if base == "." else f"{base}/"
        inner = {name: size for name, size in sizes.items() if name.startswith(head)}
        if any(size is None for size in inner.values()) and output.hash.size is not None:
            total += output.hash.size
            sizes = {name: size for name, size in sizes.items() if name not in inner}
    return total + sum(int(size or 0) for name, size in sizes.items() if not _describes(name))
