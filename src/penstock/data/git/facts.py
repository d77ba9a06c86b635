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
import time
from functools import lru_cache
from typing import NamedTuple

from penstock.data.files.state import RACY_NS

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


class _Rules(NamedTuple):
    """A file of patterns as it was read: those that are one path each, and the others with what matches them."""

    data: bytes
    paths: frozenset[str] = frozenset()
    patterns: tuple[tuple[str, re.Pattern[str] | None], ...] = ()


_RULES: dict[str, _Rules] = {}
"""The rules of files that were asked for: a reproduction adds a line for each stage, and asks for each again."""


def _decide(file: str, within: str) -> bool | None:
    rules = _read_rules(file)
    if rules is None:
        return None
    found, path = False, within
    while path and not found:
        found, path = path in rules.paths, path.rpartition("/")[0]
    for line, pattern in rules.patterns:
        matched = pattern.match(within) if pattern is not None else None
        if pattern is None or (matched is not None and line[-1] == "/" and matched.end() == len(within)):
            return None  # the latter is ignored where it is a directory
        found = found or matched is not None
    return found


def _read_rules(file: str) -> _Rules | None:
    data = _read(file)
    if data is None:
        return None
    known = _RULES.get(file, _Rules(b""))
    if data == known.data:
        return known
    is_longer = data.startswith(known.data) and known.data.endswith(b"\n")
    known = known if is_longer else _Rules(b"")
    paths, patterns = [], []
    for line in os.fsdecode(data[len(known.data) :]).split("\n"):
        if not line or line.startswith("#"):
            continue
        if line[0] == "/" and line[-1] not in "/ \r\t" and _HARD.isdisjoint(line):
            paths.append(line[1:])
        else:
            patterns.append((line, _compile(line)))
    rules = _Rules(data, known.paths.union(paths), (*known.patterns, *patterns))
    _RULES[file] = rules
    return rules


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


KEPT_BYTES = 4 << 20
_Stamp = tuple[int, int, int]
_KNOWN: dict[str, tuple[_Stamp, bytes]] = {}
"""What files held, with what told them apart then: git's few are asked for again at each stage of a reproduction."""


def _read(path: str) -> bytes | None:
    """Return a file's bytes, none where there is no file; None where it cannot be read."""
    try:
        info = os.stat(path)
        stamp = info.st_ino, info.st_size, info.st_mtime_ns
        known = _KNOWN.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        is_old = info.st_mtime_ns < time.time_ns() - RACY_NS
        with open(path, "rb", buffering=0) as file:
            data = file.read()
        if (
            is_old and len(data) <= KEPT_BYTES
        ):  # one that was just written may change again without a new time
            _KNOWN[path] = stamp, data
        return data
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError:
        return None
