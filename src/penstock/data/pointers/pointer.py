"""Pointers: `.dvc` files, read strictly and written byte for byte as DVC does.

A pointer names one output (rarely more) beside it and the digest of its content. Files in the layout that
`dvc add` writes are read by one regular expression; everything else (comments, quoting, imports, DVC 2)
goes through ruamel, and is edited without losing comments or `meta`.

Source: dvc/schema.py, dvc/stage/serialize.py, dvc/output.py (3.67).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid
from penstock.base.files import write_atomic
from penstock.data.files.ignore import BUILT_IN
from penstock.data.files.regular import open_regular
from penstock.data.formats.output import HashInfo, Output, check_md5
from penstock.data.formats.tree import check_relpath, render_tree, tree_md5
from penstock.data.pointers.metafiles import SUFFIX, find_pointer_files
from penstock.data.repository import DataRepository

FIRST_BYTES = 4096  # one reading, which all but lists of files need no more than
MAX_BYTES = 256 << 20  # a cloud-versioned directory lists every file in its pointer
TOP_KEYS = ("desc", "md5", "cmd", "wdir", "frozen", "locked", "deps", "outs", "always_changed", "meta")
OUT_KEYS = [
    "md5",
    "etag",
    "checksum",
    "size",
    "nfiles",
    "isexec",
    "version_id",
    "cloud",
    "hash",
    "path",
    "fs_config",
    "desc",
    "type",
    "labels",
    "meta",
    "cache",
    "metric",
    "plot",
    "persist",
    "remote",
    "push",
    "files",
]
DEP_KEYS = [
    "md5",
    "etag",
    "checksum",
    "size",
    "nfiles",
    "isexec",
    "version_id",
    "cloud",
    "hash",
    "path",
    "fs_config",
    "repo",
    "db",
    "files",
]
PATH = r"[A-Za-z_][A-Za-z0-9_./-]*"
CANONICAL = re.compile(
    r"outs:\n- md5: ([0-9a-f]{32}(?:\.dir)?)\n(?:  size: (\d+)\n)?(?:  nfiles: (\d+)\n)?"
    rf"(  isexec: true\n)?  hash: md5\n  path: ({PATH})\n\Z"
)
WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"})


@dataclass(frozen=True)
class Pointer:
    """One `.dvc` file: where it is and what it declares; `document` is its parsed text, if not canonical."""

    path: Path
    outputs: tuple[Output, ...]
    out_entries: tuple[Mapping[str, Any], ...]
    dependencies: tuple[Mapping[str, Any], ...] = ()
    frozen: bool = False
    wdir: str = "."
    md5: str | None = None
    text: str = field(default="", repr=False)


def load_pointer(repo: DataRepository, path: Path) -> Pointer:
    """Read the `.dvc` file at `path`.

    Raises:
        NotFound: it does not exist.
        Denied: it cannot be read.
        Invalid: it is not a pointer, or names a path outside the repository.
    """
    try:
        descriptor = open_regular(str(path), follow_links=False)
    except OSError as error:
        why = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
        raise Invalid(f"{repo.relative(path)} {why}", code="data.bad_pointer", path=str(path)) from None
    try:
        data = _read_all(descriptor)
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise Invalid(f"{path} is too large for a pointer", code="data.bad_pointer", path=str(path))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not text", code="data.bad_pointer", path=str(path)) from None
    return parse_pointer(repo, path, text)


def _read_all(descriptor: int) -> bytes:
    """Read up to just above `MAX_BYTES`; no more memory is asked for than a file has."""
    data = os.read(descriptor, FIRST_BYTES)
    if len(data) < FIRST_BYTES:
        return data
    with open(descriptor, "rb", closefd=False) as file:
        return data + file.read(min(os.fstat(descriptor).st_size, MAX_BYTES) + 1)


def parse_pointer(repo: DataRepository, path: Path, text: str) -> Pointer:
    """Read a pointer's text as if it stood at `path`."""
    match = CANONICAL.match(text)
    if match and match[5].lower() not in WORDS:
        md5, size, nfiles, isexec, name = match.groups()
        entry: dict[str, Any] = {"md5": md5, "path": name, "hash": "md5"}
        info = HashInfo(md5, int(size) if size else None, int(nfiles) if nfiles else None, bool(isexec))
        where = path.parent / name if "/" not in name and name[0] != "." else _locate(repo, path, ".", name)
        output = Output(where, info, repo.relative(path))
        return Pointer(path, (output,), (entry,), text=text)
    return _parse_document(repo, path, text)


def _parse_document(repo: DataRepository, path: Path, text: str) -> Pointer:
    from penstock.data.formats.yamltext import load_document

    where = repo.relative(path)
    document = load_document(text, where)
    _check_keys(document, TOP_KEYS, where)
    wdir = str(document.get("wdir", "."))
    outs = document.get("outs") or []
    deps = document.get("deps") or []
    if not isinstance(outs, list) or not isinstance(deps, list):
        raise _bad(where, "`outs` and `deps` must be lists")
    is_import = any(isinstance(entry, Mapping) and "repo" in entry for entry in deps)
    outputs = []
    for entry in outs:
        _check_keys(entry, OUT_KEYS, where)
        outputs.append(_output(repo, path, wdir, entry, is_import=is_import))
    for entry in deps:
        _check_keys(entry, DEP_KEYS, where)
    return Pointer(
        path,
        tuple(outputs),
        tuple(outs),
        tuple(deps),
        bool(document.get("frozen", document.get("locked", False))),
        wdir,
        document.get("md5"),
        text,
    )


def _check_keys(entry: object, allowed: tuple[str, ...] | list[str], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise _bad(where, "expected a mapping (key: value)")
    for key in entry:
        if key not in allowed:
            raise _bad(where, f"unknown key `{key}`")


def _output(
    repo: DataRepository, path: Path, wdir: str, entry: Mapping[str, Any], *, is_import: bool
) -> Output:
    where = repo.relative(path)
    name = entry.get("path")
    if not isinstance(name, str) or not name:
        raise _bad(where, "an output has no `path`")
    files = _files(entry, where)
    return Output(
        path=_locate(repo, path, wdir, name),
        hash=read_hash(entry, where) or _listed_hash(files),
        source=where,
        cached=bool(entry.get("cache", True)),
        push=bool(entry.get("push", True)),
        remote=entry.get("remote"),
        persist=bool(entry.get("persist", False)),
        is_import=is_import,
        files=files,
    )


def _listed_hash(files: tuple[tuple[str, HashInfo], ...] | None) -> HashInfo | None:
    """Return what the list of a cloud-versioned directory would be called as a tree object."""
    if not files:
        return None
    md5 = tree_md5(render_tree((name, info.md5) for name, info in files))
    return HashInfo(md5, sum(info.size or 0 for _, info in files), len(files))


def read_hash(entry: Mapping[str, Any], where: str) -> HashInfo | None:
    """Return the digest in one entry of `outs` or `deps`, or None where it holds none.

    Raises:
        Invalid: the digest or a number is malformed.
    """
    md5 = entry.get("md5")
    if md5 is None:
        return None
    try:
        size = None if entry.get("size") is None else int(entry["size"])
        nfiles = None if entry.get("nfiles") is None else int(entry["nfiles"])
    except (TypeError, ValueError):
        raise _bad(where, "`size` and `nfiles` must be whole numbers") from None
    is_new = entry.get("hash") == "md5"
    return HashInfo(
        check_md5(str(md5), where),
        size,
        nfiles,
        bool(entry.get("isexec", False)),
        "md5" if is_new else "md5-dos2unix",
    )


def _files(entry: Mapping[str, Any], where: str) -> tuple[tuple[str, HashInfo], ...] | None:
    listed = entry.get("files")
    if listed is None:
        return None
    found = []
    for item in listed:
        info = read_hash({"hash": "md5", **item}, where)
        if info is not None:
            found.append((check_relpath(item.get("relpath"), where), info))
    return tuple(found)


def _locate(repo: DataRepository, pointer: Path, wdir: str, name: str) -> Path:
    """Return the absolute path an entry names, which must lie inside the repository."""
    if "\0" in name:
        raise _bad(repo.relative(pointer), f"bad path {name!r}")
    path = Path(os.path.normpath(pointer.parent / wdir / name))
    check_inside(repo, path, repo.relative(pointer))
    return path


def check_inside(repo: DataRepository, path: Path, where: str) -> Path:
    """Return `path` when it is below the root and not part of git's or DVC's own directories.

    Raises:
        Invalid: it is not.
    """
    if path == repo.root:
        raise Invalid(f"{where} names the repository itself", code="data.outside", path=str(path))
    if ".." in path.parts or not path.is_relative_to(repo.root):
        raise Invalid(
            f"{where} names {path}, which is outside the repository", code="data.outside", path=str(path)
        )
    if BUILT_IN.intersection(path.relative_to(repo.root).parts):
        raise Invalid(
            f"{where} names {path}, which belongs to git or DVC", code="data.outside", path=str(path)
        )
    return path


def list_pointers(repo: DataRepository) -> list[Pointer]:
    """Read every `.dvc` file of the repository, in path order; nested repositories are left out."""
    return [load_pointer(repo, path) for path in find_pointer_files(repo)]


def pointer_path(path: Path) -> Path:
    """Return where the pointer of a tracked path stands."""
    return path.with_name(path.name + SUFFIX)


def find_pointer(repo: DataRepository, path: Path) -> Pointer | None:
    """Return the pointer that `add` would write for `path`, if it exists."""
    where = pointer_path(path)
    return load_pointer(repo, where) if where.is_file() and not path.name.startswith(".dvc") else None


def find_owner(repo: DataRepository, path: Path) -> Pointer | None:
    """Return the pointer of the tracked directory that `path` lies in (or is), looking only at its parents."""
    for directory in (path, *path.parents):
        if directory == repo.root:
            return None
        candidate = pointer_path(directory)
        if candidate.is_file():
            pointer = load_pointer(repo, candidate)
            if any(output.path == directory for output in pointer.outputs):
                return pointer
    return None


def save_text(path: Path, text: str) -> bool:
    """Write a pointer's text unless it is there already; say whether it was written."""
    data = text.encode()
    try:
        if path.read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    write_atomic(path, data, durable=False)
    return True


def _bad(where: str, why: str) -> Invalid:
    return Invalid(f"{where}: {why}", code="data.bad_pointer", hint=f"edit {where}", file=where)
