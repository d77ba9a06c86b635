"""`.dvcignore`: which files below the root are not data.

gitignore patterns, one file per directory, inner files after outer ones; `.git`, `.hg` and `.dvc` are always
ignored. Where no `.dvcignore` holds a pattern, nothing is matched at all.

Source: dvc/ignore.py (3.67).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from penstock.base.errors import NotFound
from penstock.data.files.regular import open_regular

BUILT_IN = frozenset({".git", ".hg", ".dvc"})
FILE_NAME = ".dvcignore"


@dataclass
class IgnoreRules:
    """The rules of one repository; they are read once per directory and process."""

    root: str
    _levels: dict[str, Any] = field(default_factory=dict)

    def is_trivial(self, folder: str) -> bool:
        """Say whether no file from the root down to the parent of `folder` holds a pattern."""
        relative = os.path.relpath(folder, self.root)
        parts = [] if relative == "." or relative.startswith("..") else relative.split("/")
        above = (os.path.join(self.root, *parts[:depth]) for depth in range(max(len(parts), 1)))
        return all(self._patterns(one) is None for one in above)

    def _patterns(self, folder: str) -> Any:
        if folder not in self._levels:
            self._levels[folder] = _load(os.path.join(folder, FILE_NAME))
        return self._levels[folder]

    def is_ignored(self, path: str, is_dir: bool) -> bool:
        """Say whether an absolute path is ignored, by its own name or through a parent directory."""
        relative = os.path.relpath(path, self.root)
        if relative == "." or relative.startswith(".."):
            return False
        parts = relative.split("/")
        for depth in range(1, len(parts) + 1):
            if self._matches(parts[:depth], is_dir or depth < len(parts)):
                return True
        return False

    def is_entry_ignored(self, folder: str, name: str, is_dir: bool) -> bool:
        """Say whether one entry of a directory that is itself not ignored is ignored."""
        if is_dir and name in BUILT_IN:
            return True
        relative = os.path.relpath(folder, self.root)
        parts = [] if relative == "." else relative.split("/")
        return self._matches([*parts, name], is_dir)

    def explain(self, path: str, is_dir: bool) -> list[str]:
        """Return every pattern that speaks of a path, as `file:line:pattern`; the last one decides."""
        relative = os.path.relpath(path, self.root)
        parts = [] if relative == "." or relative.startswith("..") else relative.split("/")
        for depth in range(1, len(parts) + 1):
            if parts[depth - 1] in BUILT_IN:
                return [f":{parts[depth - 1]}"]
            found = self._explain(parts[:depth], is_dir or depth < len(parts))
            if found and (depth == len(parts) or self._matches(parts[:depth], True)):
                return found
        return []

    def _explain(self, parts: list[str], is_dir: bool) -> list[str]:
        found = []
        for depth in range(len(parts)):
            file = os.path.join(self.root, *parts[:depth], FILE_NAME)
            name = "/".join(parts[depth:]) + ("/" if is_dir else "")
            for number, line in enumerate(_read_lines(file), 1):
                rules = _load_lines([line])
                if rules is not None and rules.check_file(name).include is not None:
                    found.append(f"{os.path.relpath(file, self.root)}:{number}:{line.strip()}")
        return found

    def _matches(self, parts: list[str], is_dir: bool) -> bool:
        if parts[-1] in BUILT_IN:
            return True
        verdict: bool | None = None
        folder = self.root
        for depth in range(len(parts)):
            rules = self._patterns(folder)
            if rules is not None:
                name = "/".join(parts[depth:]) + ("/" if is_dir else "")
                found = rules.check_file(name).include
                verdict = verdict if found is None else found
            folder = os.path.join(folder, parts[depth])
        return bool(verdict)


def _read_lines(path: str) -> list[str]:
    """Return the lines of a file, none where there is no file.

    Raises:
        Denied: it cannot be read, so that what it hides is not known.
        Invalid: it is no file.
    """
    try:
        descriptor = open_regular(path)
    except (NotFound, NotADirectoryError):
        return []
    with open(descriptor, encoding="utf-8", errors="surrogateescape") as file:
        return file.read().splitlines()


def _load(path: str) -> Any:
    return _load_lines(_read_lines(path))


def _load_lines(raw_lines: list[str]) -> Any:
    lines = [line for raw in raw_lines if (line := raw.strip()) and not line.startswith("#")]
    if not lines:
        return None
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(lines)
