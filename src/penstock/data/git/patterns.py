"""What git ignores, while the repository is walked for pointers: like DVC, nothing there counts.

Plain patterns (`venv`, `/data`, `build/`, `*.pyc`, `/a/b`) are decided here and prune the walk. Where a level has
others (wildcards, negations, escapes), the pointers found below it are asked of git, all at once. Patterns of the
user's own `core.excludesFile` do not count.

Source: git, Documentation/gitignore.txt; dvc/repo/index.py, `collect_files` (3.67).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

FILE_NAME = ".gitignore"
_HARD = frozenset("*?[]\\")


class Level(NamedTuple):
    """The patterns that hold in a directory and below.

    `is_sure` says that the plain ones are all there are, `prunes` that none of them is taken back.
    """

    names: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    is_sure: bool = True
    prunes: bool = True


class GitPatterns:
    """The `.gitignore` files of one walk through the working tree at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._anchored: set[str] = set()
        self._anchored_folders: set[str] = set()

    def start(self, folder: Path) -> Level:
        """Return what holds in the directory that contains `folder`, from the working tree's root down."""
        level = self._extend(Level(), str(self.root), f"{self.root}/.git/info/exclude")
        at = self.root
        for part in folder.relative_to(self.root).parts:
            level = self.enter(level, str(at))
            at /= part
        return level

    def enter(self, level: Level, folder: str) -> Level:
        """Return what holds in `folder`, given what holds in its parent."""
        return self._extend(level, folder, f"{folder}/{FILE_NAME}")

    def is_ignored(self, level: Level, name: str, path: str, is_dir: bool) -> bool:
        """Say whether a plain pattern excludes an entry."""
        if not level.prunes:
            return False
        if name in level.names or path in self._anchored or name.endswith(level.suffixes):
            return True
        return is_dir and (name in level.folders or path in self._anchored_folders)

    def _extend(self, level: Level, folder: str, file: str) -> Level:
        lines = _read_lines(file)
        if not lines:
            return level
        names, folders, suffixes = set(level.names), set(level.folders), list(level.suffixes)
        is_sure = level.is_sure
        for raw in lines:
            line = raw.rstrip(" \r") if not raw.endswith("\\ ") else raw
            if not line or line[0] == "#":
                continue
            if line[0] == "!":
                return level._replace(is_sure=False, prunes=False)
            body = line.rstrip("/")
            only_folders = len(body) < len(line)
            if body.startswith("*.") and not only_folders and _is_plain(body[2:]):
                suffixes.append(body[1:])
            elif not body or not _HARD.isdisjoint(body):
                is_sure = False
            elif "/" in body:
                anchored = self._anchored_folders if only_folders else self._anchored
                anchored.add(f"{folder}/{body.lstrip('/')}")
            else:
                (folders if only_folders else names).add(body)
        return Level(frozenset(names), frozenset(folders), tuple(suffixes), is_sure, level.prunes)


def _is_plain(text: str) -> bool:
    return bool(text) and "/" not in text and _HARD.isdisjoint(text)


def _read_lines(file: str) -> list[str]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)  # nor does git follow a link
    except OSError:
        return []
    with open(descriptor, "rb") as opened:
        return os.fsdecode(opened.read()).split("\n")
