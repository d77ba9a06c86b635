"""Bring a repository of DVC 2 to DVC 3: its cache, and with it the pointers and the lock.

Source: dvc/commands/cache.py, `migrate` (3.67).
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import Corrupt
from penstock.base.numbers import counted
from penstock.data.cache.migration import MigrationPlan, apply_migration, modern_hash, plan_migration
from penstock.data.formats.yamltext import dump_document, load_document
from penstock.data.lock import repository_lock
from penstock.data.pointers.pointer import Pointer, list_pointers, parse_pointer, read_hash, save_text
from penstock.data.pointers.rendering import render_updated
from penstock.data.repository import DataRepository

LOCK = "dvc.lock"


@dataclass(frozen=True)
class Migration:
    """What was, or would be, done: objects put into the new layout, and metafiles rewritten."""

    plan: MigrationPlan
    metafiles: tuple[Path, ...]
    skipped: tuple[str, ...]


def migrate(repo: DataRepository, *, metafiles: bool, dry_run: bool) -> Migration:
    """Migrate the cache, and with `metafiles` what names its objects.

    A pointer whose objects are not in the cache is left as it is and told of.

    Raises:
        Corrupt: an old object does not match its name; nothing is changed.
    """
    with repository_lock(repo):
        plan = plan_migration(repo.cache)
        if plan.damaged:
            raise Corrupt(
                f"{counted(len(plan.damaged), 'object')} of the old cache cannot be read, such as {plan.damaged[0]}",
                code="data.corrupt_object",
                hint=f"remove {repo.cache.legacy_path(plan.damaged[0])}, or fetch it again",
                md5=plan.damaged[0],
            )
        if not dry_run:
            apply_migration(repo.cache, plan)
        written: list[Path] = []
        skipped: list[str] = []
        if metafiles:
            for pointer in list_pointers(repo):
                text = _modern_pointer(repo, pointer, skipped, store=not dry_run)
                if text != pointer.text:
                    written.append(pointer.path)
                    _ = dry_run or save_text(pointer.path, text)
            lock = repo.root / LOCK
            if lock.exists():
                before = lock.read_text(encoding="utf-8")
                after = _modern_lock(repo, before, skipped, store=not dry_run)
                if after != before:
                    written.append(lock)
                    _ = dry_run or save_text(lock, after)
    return Migration(plan, tuple(written), tuple(skipped))


def _modern_pointer(repo: DataRepository, pointer: Pointer, skipped: list[str], *, store: bool) -> str:
    for index, output in enumerate(pointer.outputs):
        if output.hash is None or output.hash.algorithm == "md5" or not output.cached:
            continue
        info = modern_hash(repo, output.hash, store=store)
        if info is None:
            skipped.append(repo.relative(output.path))
            continue
        text = render_updated(pointer, index, info)
        pointer = parse_pointer(repo, pointer.path, text)
    return pointer.text


def _modern_lock(repo: DataRepository, text: str, skipped: list[str], *, store: bool) -> str:
    document = load_document(text, LOCK)
    is_changed = False
    for stage in (document.get("stages") or {}).values():
        for entry in [*stage.get("deps", ()), *stage.get("outs", ())]:
            is_changed = _modern_entry(repo, entry, skipped, store=store) or is_changed
    return dump_document(document) if is_changed else text


def _modern_entry(
    repo: DataRepository, entry: MutableMapping[str, Any], skipped: list[str], *, store: bool
) -> bool:
    info = read_hash(entry, LOCK) if isinstance(entry, Mapping) else None
    if info is None or info.algorithm == "md5":
        return False
    found = modern_hash(repo, info, store=store)
    if found is None:
        skipped.append(str(entry.get("path")))
        return False
    rest = {key: value for key, value in entry.items() if key not in {"path", "md5", "hash"}}
    path = entry["path"]
    entry.clear()
    entry.update({"path": path, "hash": "md5", "md5": found.md5, **rest})
    return True
