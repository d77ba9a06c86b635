"""Write `dvc.lock` files stage by stage, at a cost that does not grow with the file.

A lock as DVC and Penstock write it is a line `stages:` and a block of lines for each stage. Of such a file only the
blocks of changed stages are rendered; any other (comments, flow style, odd names) is edited by the YAML round trip.
What a file means is `lockfile`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.base.files import write_atomic
from penstock.data.formats.plainyaml import render_plain
from penstock.pipeline.lockfile import LOCK_FILE, SCHEMA, LockEntry, parse_lock

_STAGE = re.compile(r"  ([A-Za-z_][A-Za-z0-9_@.\-]*):\n?$")
_HEAD = "stages:\n"
_UNUSUAL = re.compile(r"(?m)(^|\s)#|[:\-] [&*][A-Za-z]")  # comments, anchors


def save_lock(root: Path, entries: Mapping[str, LockEntry]) -> None:
    """Write changed entries into a directory's lock file, in one step; others stay as they are."""
    LockWriter().save(root, entries, durable=True)


@dataclass
class _Lock:
    """A lock file as it was when `stamp` was taken: its entries, and its text in blocks where it has the usual shape."""

    stamp: tuple[int, int, int] | None = None
    entries: dict[str, LockEntry] = field(default_factory=dict)
    before: str = f"schema: '{SCHEMA}'\n{_HEAD}"
    blocks: dict[str, str] | None = field(default_factory=dict)
    after: str = ""
    text: str = ""
    added: list[str] = field(default_factory=list)
    last: int = -1
    """The greatest place in the order that one of `added` has."""


class LockWriter:
    """Writes the locks of one reproduction; the caller holds the repository's lock at each call.

    A file that somebody else wrote meanwhile is read again. Stages that are new to a file come after the others, in
    the order of `order` (the directory of a lock and a stage's name), whatever order they were done in.
    """

    def __init__(self, order: Sequence[tuple[Path, str]] = ()) -> None:
        self._places: dict[Path, dict[str, int]] = {}
        for at, (root, name) in enumerate(order):
            self._places.setdefault(root, {})[name] = at
        self._locks: dict[Path, _Lock] = {}

    def save(self, root: Path, entries: Mapping[str, LockEntry], *, durable: bool = False) -> None:
        """Write changed entries into `root`/dvc.lock.

        Raises:
            Invalid: the file is not a DVC lock.
        """
        path = root / LOCK_FILE
        lock = self._locks.get(path)
        if lock is None or lock.stamp != _stamp(path):
            lock = self._locks[path] = _load(path)
        changed = {name: entry for name, entry in entries.items() if lock.entries.get(name) != entry}
        if not changed and lock.stamp is not None:
            return
        rendered = {name: _render(name, entry) for name, entry in changed.items()}
        if (
            lock.blocks is None
            or not (lock.blocks or rendered)
            or any(block is None for block in rendered.values())
        ):
            text = _edited(lock.text, path, changed)
            write_atomic(path, text.encode(), durable=durable)
            del self._locks[path]
            return
        for name, block in rendered.items():
            self._put(self._places.get(root, {}), lock, lock.blocks, name, block or "")
        text = "".join([lock.before, *lock.blocks.values(), lock.after])
        write_atomic(path, text.encode(), durable=durable)
        lock.entries.update(changed)
        lock.text, lock.stamp = text, _stamp(path)

    def _put(
        self, places: Mapping[str, int], lock: _Lock, blocks: dict[str, str], name: str, block: str
    ) -> None:
        """Replace a stage's block, or add one: before those added here that come after it in the order."""
        if name in blocks:
            blocks[name] = block
            return
        place = places.get(name, sys.maxsize)
        later = {one for one in lock.added if places.get(one, -1) > place} if lock.last > place else set()
        lock.added.append(name)
        lock.last = max(lock.last, places.get(name, -1))
        moved = {one: blocks.pop(one) for one in list(blocks) if one in later} if later else {}
        blocks[name] = block
        blocks.update(moved)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        info = path.stat()
    except FileNotFoundError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns


def _load(path: Path) -> _Lock:
    stamp = _stamp(path)
    if stamp is None:
        return _Lock()
    text = path.read_text(encoding="utf-8")
    entries = parse_lock(text, str(path))
    if not entries:
        return _Lock(stamp, {}, blocks=None if text.strip() else {}, text=text)
    before, blocks, after = _split(text)
    usual = blocks if list(blocks) == list(entries) else None
    return _Lock(stamp, entries, before, usual, after, text)


def _split(text: str) -> tuple[str, dict[str, str], str]:
    """Return what stands before the stages, each stage's lines, and what follows; no stages where that is unclear."""
    before, found, rest = (
        text.partition(f"\n{_HEAD}") if not text.startswith(_HEAD) else ("", _HEAD, text[8:])
    )
    if not found or _UNUSUAL.search(text) or not text.endswith("\n"):
        return "", {}, ""
    blocks: dict[str, list[str]] = {}
    current: list[str] | None = None
    lines = rest.splitlines(keepends=True)
    for at, line in enumerate(lines):
        if line[0] not in " \n":
            return before + found, {name: "".join(part) for name, part in blocks.items()}, "".join(lines[at:])
        if line.startswith("  ") and line[2] != " ":
            stage = _STAGE.match(line)
            if stage is None:
                return "", {}, ""
            current = blocks.setdefault(stage[1], [])
        if current is None:
            return "", {}, ""
        current.append(line)
    return before + found, {name: "".join(part) for name, part in blocks.items()}, ""


def _render(name: str, entry: LockEntry) -> str | None:
    """Return a stage's lines; None for a name that needs quotes."""
    block = render_text({"stages": {name: entry.to_document()}}).removeprefix(_HEAD)
    return block if _STAGE.match(block.partition("\n")[0]) else None


def render_text(document: dict[str, Any]) -> str:
    """Return a document as DVC would write it."""
    plain = render_plain(document)
    if plain is not None:
        return plain
    from penstock.data.formats.yamltext import dump_document

    return dump_document(document)


def _edited(text: str, path: Path, changed: Mapping[str, LockEntry]) -> str:
    from penstock.data.formats.yamltext import dump_document, load_document

    document: Any = load_document(text, str(path)) if text else None
    if not document:
        document = {"schema": SCHEMA, "stages": {}}
    for name, entry in changed.items():
        document["stages"][name] = entry.to_document()
    return dump_document(document)
