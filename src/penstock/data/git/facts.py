"""Two of git's answers, read from its files where that is safe: is a path tracked, is it ignored.

Each answers None where only git itself knows, and the caller asks it. "Not tracked" is proven by the path's
bytes being nowhere in an index of version 2 or 3; "ignored" is decided where every pattern that could speak of
the path is a name, alone or with `*`, `?` and simple sets like `[0-9]`. Configured excludes, negations, escapes, `**`,
worktrees and split or sparse indexes are git's.

Source: git, Documentation/gitformat-index.txt and gitignore.txt.
"""

from __future__ import annotations

import os
import re
import struct
from functools import lru_cache

_CONFIGURED = re.compile(rb"excludesfile|\binclude|splitindex|\bsparse|worktree", re.IGNORECASE)
_OTHER_EXTENSIONS = (b"link", b"sdir")
_HARD = frozenset("*?[]!\\")
_SET = re.compile(r"\[[A-Za-z0-9_.,-]+\]")
_PART = re.compile(rf"\*|\?|{_SET.pattern}|[^*?\[\]!\\]")


def is_tracked(root: str, relative: str) -> bool | None:
    """Say whether git tracks the path, or anything below it.

    Args:
        root: the working tree.
        relative: the path in it, with slashes.
    """
    if not os.path.isdir(f"{root}/.git"):
        return None
    data = _read(f"{root}/.git/index")
    if data is None:
        return None
    if not data:
        return False
    if data[:4] != b"DIRC" or len(data) < 12:
        return None
    version = struct.unpack(">I", data[4:8])[0]
    if version not in {2, 3} or any(name in data for name in _OTHER_EXTENSIONS):
        return None
    return None if os.fsencode(relative) in data else False


def is_ignored(root: str, relative: str) -> bool | None:
    """Say whether git ignores the path by a pattern; the index does not count, as for `check-ignore --no-index`."""
    home = os.path.expanduser("~")
    if not os.path.isdir(f"{root}/.git"):
        return None
    for config in (
        f"{root}/.git/config",
        f"{home}/.gitconfig",
        f"{home}/.config/git/config",
        "/etc/gitconfig",
    ):
        text = _read(config)
        if text is None or _CONFIGURED.search(text):
            return None
    for file in (f"{root}/.git/info/exclude", f"{home}/.config/git/ignore"):
        if _decide(file, relative) is not False:
            return None
    folder, parts = root, relative.split("/")
    for depth, part in enumerate(parts):
        verdict = _decide(f"{folder}/.gitignore", "/".join(parts[depth:]))
        if verdict is not False:
            return verdict
        folder = f"{folder}/{part}"
    return False


def _decide(file: str, within: str) -> bool | None:
    data = _read(file)
    if data is None:
        return None
    found = False
    for line in os.fsdecode(data).split("\n"):
        if not line or line.startswith("#"):
            continue
        if line[0] == "/" and line[-1] not in "/ \r\t" and _HARD.isdisjoint(line):
            found = found or within == line[1:] or within.startswith(f"{line[1:]}/")
            continue
        pattern = _compile(line)
        matched = pattern.match(within) if pattern is not None else None
        if pattern is None or (matched is not None and line[-1] == "/" and matched.end() == len(within)):
            return None  # the latter is ignored where it is a directory
        found = found or matched is not None
    return found


@lru_cache(maxsize=1024)
def _compile(line: str) -> re.Pattern[str] | None:
    """Return what matches the ignored beginning of a path, or None where a line takes more than this knows."""
    body = line.removesuffix("/")
    if "**" in body or body in {"", "/"} or body[-1] in "/ \r\t" or "//" in body:
        return None
    anchored = "/" in body
    told, at, body = [], 0, body.removeprefix("/")
    while at < len(body):
        part = _PART.match(body, at)
        if part is None:
            return None
        text, at = part.group(), part.end()
        told.append(
            "[^/]*" if text == "*" else "[^/]" if text == "?" else text if len(text) > 1 else re.escape(text)
        )
    try:
        return re.compile(f"{'' if anchored else '(?:[^/]+/)*?'}{''.join(told)}(?=/|$)", re.DOTALL)
    except re.error:  # a set from z to a
        return None


def _read(path: str) -> bytes | None:
    """Return a file's bytes, none where there is no file; None where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError:
        return None
