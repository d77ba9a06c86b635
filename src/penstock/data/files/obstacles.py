"""What stands where a checkout writes although a scan of the directory leaves it out.

A scan lists what is data: not what `.dvcignore` hides. What the recorded list names is written all the same, so
that what is at, above or below such a path has to be compared like everything else, or it would be lost.
Ignored files elsewhere in the directory are nobody's business.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterable
from pathlib import Path


def find_obstacles(root: Path, wanted: Iterable[str], scanned: Container[str]) -> list[str]:
    """Return the files below `root` that are in the way of `wanted` paths and not among the `scanned` ones.

    All are relative POSIX paths. Nothing is looked for through a linked directory, and a link that leads to no file
    holds no content.
    """
    found: dict[str, None] = {}
    for name in wanted:
        if name in scanned:
            continue
        try:
            info = os.lstat(root / name)
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            found.update(dict.fromkeys(_files_above(root, name)))
            continue
        if _is_below_link(root, name):
            continue
        if stat.S_ISDIR(info.st_mode):
            found.update((f"{name}/{below}", None) for below in list_files(root / name))
        elif os.path.isfile(root / name):
            found[name] = None
    return [name for name in found if name not in scanned]


def list_files(folder: Path) -> list[str]:
    """Return every file below a directory, ignored or not, relative to it."""
    return [
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
        if os.path.isfile(os.path.join(parent, name))
    ]


def _files_above(root: Path, name: str) -> list[str]:
    """Return the file that stands in the place of one of the directories around `name`."""
    return [folder for folder in _folders_above(name) if stat.S_ISREG(_mode(root / folder))]


def _is_below_link(root: Path, name: str) -> bool:
    return any(stat.S_ISLNK(_mode(root / folder)) for folder in _folders_above(name))


def _folders_above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _mode(path: Path) -> int:
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
