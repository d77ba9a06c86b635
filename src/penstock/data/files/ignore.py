"""`.dvcignore`: which files below the root are not data.

Patterns as git reads and matches them, one file per directory, inner files before outer ones; what lies in an
ignored directory cannot be taken back. `.git`, `.hg` and `.dvc` are always ignored. Where no `.dvcignore` holds a
pattern, nothing is matched at all.

Differs from dvc/ignore.py (3.67) where that differs from git.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from penstock.base.errors import NotFound
from penstock.data.files.ignorefile import Pattern, parse_ignore_file
from penstock.data.files.regular import open_regular

BUILT_IN = frozenset({".git", ".hg", ".dvc"})
FILE_NAME = ".dvcignore"


@dataclass
class IgnoreRules:
    """The rules of one repository; they are read once per directory and process."""

    root: str
    _levels: dict[str, tuple[Pattern, ...]] = field(default_factory=dict)
    _above: dict[str, list[tuple[str, tuple[Pattern, ...], bytes]]] = field(default_factory=dict)

    def is_trivial(self, folder: str) -> bool:
        """Say whether no file from the root down to the parent of `folder` holds a pattern."""
        parts = self._parts(folder)
        above = (os.path.join(self.root, *parts[:depth]) for depth in range(max(len(parts), 1)))
        return not any(self._patterns(one) for one in above)

    def is_ignored(self, path: str, is_dir: bool) -> bool:
        """Say whether an absolute path is ignored, by its own name or through a parent directory."""
        parts = self._parts(path)
        folder = self.root
        for depth, name in enumerate(parts, 1):
            if self.is_entry_ignored(folder, name, is_dir or depth < len(parts)):
                return True
            folder = f"{folder}/{name}"
        return False

    def is_entry_ignored(self, folder: str, name: str, is_dir: bool) -> bool:
        """Say whether one entry of a directory that is itself not ignored is ignored."""
        if name in BUILT_IN:
            return True
        encoded = os.fsencode(name)
        for _, patterns, prefix in self._holding(folder):
            path = prefix + encoded
            for pattern in patterns:
                if pattern.speaks_of(path, encoded, is_dir=is_dir):
                    return not pattern.takes_back
        return False

    def explain(self, path: str, is_dir: bool) -> list[str]:
        """Return every pattern that speaks of a path, as `file:line:pattern`; the last one decides."""
        parts = self._parts(path)
        folder = self.root
        for depth, name in enumerate(parts, 1):
            if name in BUILT_IN:
                return [f":{name}"]
            is_last = depth == len(parts)
            found = self._explain(folder, name, is_dir or not is_last)
            if found and (is_last or self.is_entry_ignored(folder, name, True)):
                return found
            folder = f"{folder}/{name}"
        return []

    def _explain(self, folder: str, name: str, is_dir: bool) -> list[str]:
        encoded = os.fsencode(name)
        found = [
            f"{os.path.relpath(os.path.join(level, FILE_NAME), self.root)}:{pattern.number}:{pattern.text}"
            for level, patterns, prefix in self._holding(folder)
            for pattern in patterns
            if pattern.speaks_of(prefix + encoded, encoded, is_dir=is_dir)
        ]
        return found[::-1]

    def _holding(self, folder: str) -> list[tuple[str, tuple[Pattern, ...], bytes]]:
        """Return what holds in a directory, from the inside: each level's place and patterns, and the path from there."""
        found = self._above.get(folder)
        if found is None:
            parts = self._parts(folder)
            found = []
            for depth in range(len(parts), -1, -1):
                level = os.path.join(self.root, *parts[:depth])
                if patterns := self._patterns(level):
                    prefix = "".join(f"{part}/" for part in parts[depth:])
                    found.append((level, patterns, os.fsencode(prefix)))
            self._above[folder] = found
        return found

    def _patterns(self, folder: str) -> tuple[Pattern, ...]:
        if folder not in self._levels:
            self._levels[folder] = parse_ignore_file(_read(os.path.join(folder, FILE_NAME)))
        return self._levels[folder]

    def _parts(self, path: str) -> list[str]:
        """Return the components of a path below the root; none for what is outside."""
        relative = os.path.relpath(path, self.root)
        return [] if relative in {".", ".."} or relative.startswith("../") else relative.split("/")


def _read(path: str) -> bytes:
    """Return a file's bytes, none where there is no file.

    Raises:
        Denied: it cannot be read, so that what it hides is not known.
        Invalid: it is no file.
    """
    try:
        descriptor = open_regular(path)
    except (NotFound, NotADirectoryError):
        return b""
    with open(descriptor, "rb") as file:
        return file.read()
