"""Entries in `.gitignore`, one per tracked path, as DVC writes and removes them.

The entry `/name` stands in the `.gitignore` of the path's own directory, and is only written where git
does not ignore the path already. Differs from DVC where git would not read the name in DVC's entry: a blank or a carriage
return at its end is escaped, and a name of several lines gets no entry.

Source: dvc/scm (scmrepo/git/__init__.py, 3.6).
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from penstock.base.errors import Conflict, Invalid
from penstock.base.files import write_atomic
from penstock.data.git.facts import is_ignored, is_tracked
from penstock.data.repository import DataRepository

_SPECIAL = re.compile(r"([\\\[\]!*#?])")


def render_entry(path: Path) -> str:
    r"""Return the line for a path.

    Example:
        >>> render_entry(Path("d/we[i]rd #name!.txt"))
        '/we\\[i\\]rd \\#name\\!.txt'
    """
    entry = "/" + _SPECIAL.sub(r"\\\1", path.name)
    if entry.endswith(" "):
        return f"{entry[:-1]}\\ "
    return f"{entry[:-1]}[\r]" if entry.endswith("\r") else entry


def ignore_path(repo: DataRepository, path: Path) -> Path | None:
    """Have git ignore `path`; return the `.gitignore` that was changed, or None.

    A name of several lines cannot stand in a `.gitignore`: it is noted in `repo.not_ignored`.

    Raises:
        Conflict: git already tracks the path.
    """
    root = repo.git_root()
    if root is None:
        return None
    file = path.parent / ".gitignore"
    text = _read(file)
    entry = render_entry(path)
    if entry in text and any(line.rstrip("\r") == entry for line in text.split("\n")):
        return None
    relative = os.path.relpath(path, root)
    check_not_tracked(repo, path)
    if _is_ignored(root, relative):
        return None
    if "\n" in entry:
        repo.not_ignored.append(path)
        return None
    _append(file, text, f"{entry}\n" if not text or text.endswith("\n") else f"\n{entry}\n")
    repo.state.note_ignored(repo.relative(path))
    return file


def check_not_tracked(repo: DataRepository, path: Path) -> None:
    """Refuse what git tracks, or tracks something of: two would keep it.

    Raises:
        Conflict: as said.
    """
    root = repo.git_root()
    if root is None:
        return
    relative = os.path.relpath(path, root)
    if is_tracked_by_git(root, relative):
        raise Conflict(
            f"{repo.relative(path)} is already tracked by git",
            code="data.tracked_by_git",
            hint=f"git rm -r --cached {shlex.quote(relative)} && git commit -m {shlex.quote(f'stop tracking {relative}')}",
            path=relative,
        )


def check_seen_by_git(repo: DataRepository, pointer: Path) -> None:
    """Refuse a new pointer where git would ignore it: nobody else would know of the data, and DVC would not either.

    Raises:
        Invalid: as said.
    """
    root = repo.git_root()
    if root is None or not _is_ignored(root, os.path.relpath(pointer, root)):
        return
    name = repo.relative(pointer)
    raise Invalid(
        f"git would ignore {name}, and with it that the data are tracked",
        code="data.pointer_ignored",
        hint=f"git check-ignore -v {shlex.quote(name)} shows the pattern; choose another place, or change it",
        path=name,
    )


def is_tracked_by_git(root: Path, relative: str) -> bool:
    """Say whether git tracks a path, or anything below it; `relative` is the path in the working tree `root`."""
    known = is_tracked(str(root), relative)
    if known is not None:
        return known
    from penstock.base.git import Git

    return bool(Git(root).run("ls-files", "--", f":(literal){relative}", check=False))


def _is_ignored(root: Path, relative: str) -> bool:
    known = is_ignored(str(root), relative)
    if known is not None:
        return known
    from penstock.base.git import Git

    return bool(Git(root).run("check-ignore", "--no-index", "--", relative, check=False))


def has_entry(repo: DataRepository, path: Path) -> bool:
    """Say whether the entry of `path` stands where `ignore_path` would write it."""
    if repo.git_root() is None:
        return False
    entry = render_entry(path)
    return any(line.rstrip("\r") == entry for line in _read(path.parent / ".gitignore").split("\n"))


def unignore_path(repo: DataRepository, path: Path) -> Path | None:
    """Remove the entry of `path`; an emptied file is removed. Return the file that was changed."""
    if repo.git_root() is None:
        return None
    file = path.parent / ".gitignore"
    lines = _read(file).split("\n")
    entry = render_entry(path).strip()
    kept = [line for line in lines if line.strip() != entry]
    if len(kept) == len(lines):
        return None
    text = "\n".join(kept)
    if text:
        _write(file, text)
    else:
        file.unlink()
    return file


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode(errors="surrogateescape")  # text mode would change carriage returns
    except FileNotFoundError:
        return ""


def _append(file: Path, text: str, added: str) -> None:
    """Add to a file what is there whole or not at all; renaming over it costs ext4 4 ms, and each output adds a line."""
    data = added.encode(errors="surrogateescape")
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(file, flags)
    except OSError:  # a link, which git does not follow either; no file yet
        _write(file, text + added)
        return
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, data) < len(data):  # the disk is full
            os.ftruncate(descriptor, before)
            _write(file, text + added)
    finally:
        os.close(descriptor)


def _write(file: Path, text: str) -> None:
    write_atomic(file, text.encode(errors="surrogateescape"), durable=False)
