"""The run cache: lock entries of earlier runs, found by what went in, in DVC 3's layout.

`<cache>/runs/<key[:2]>/<key>/<value>`: the key is a digest of command, dependencies, parameters and the
outputs' paths, the value one of the whole entry; both leave sizes and counts out. An entry is only used
when everything it names is in the cache. Source: DVC 3.67 `dvc/stage/cache.py`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from penstock.base.digest import digest_bytes, sortable
from penstock.base.errors import Invalid
from penstock.data.cache.hashing import store_file
from penstock.data.cache.presence import has
from penstock.data.formats.output import Output
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import checkout_output
from penstock.pipeline.lockfile import LockEntry, parse_entry
from penstock.pipeline.lockwriting import render_text
from penstock.pipeline.stage import Stage

UNCOUNTED = frozenset({"size", "nfiles"})


def is_cacheable(stage: Stage) -> bool:
    """Whether a stage's result is determined by what it declares."""
    has_inputs = bool(stage.dependencies or stage.parameters)
    persists = any(output.is_persistent for output in stage.outputs)
    return has_inputs and bool(stage.outputs) and not persists and not stage.always_runs


def save_run(repo: DataRepository, root: Path, stage: Stage, entry: LockEntry) -> None:
    """Remember a stage's result; outputs that git holds enter the cache too, as copies.

    An uncached directory is not remembered.
    """
    if not is_cacheable(stage):
        return
    for output in stage.outputs:
        place = root / stage.place(output.path)
        if not output.is_cached:
            if place.is_dir():
                return
            store_file(repo.cache, str(place))
    document = entry.to_document()
    path = _folder(repo, document) / _digest(document)
    if not path.exists():
        repo.cache.write_file(path, render_text(document).encode())


def is_remembered(repo: DataRepository, entry: LockEntry) -> bool:
    """Say whether this very result is remembered."""
    return (repo.cache.root / record_key(entry)).exists()


def find_run(
    repo: DataRepository,
    wanted: LockEntry,
    output_paths: list[str],
    bring: Callable[[LockEntry], None] | None = None,
    is_seen: Callable[[LockEntry], bool] | None = None,
) -> LockEntry | None:
    """Return the newest remembered result of these inputs whose outputs are all stored, or None.

    Args:
        wanted: command, dependencies and parameters; its outputs do not count.
        output_paths: the paths of the outputs, in the lock's order.
        bring: tries to bring what a result names into the cache.
        is_seen: says which results count, where not all do.
    """
    document = wanted.to_document() | {"outs": [{"path": path} for path in output_paths]}
    for path in _newest_first(_folder(repo, document)):
        with suppress(Invalid, OSError):
            entry = parse_entry(path.read_text(encoding="utf-8"), str(path))
            if (is_seen is None or is_seen(entry)) and is_stored(repo, entry, bring):
                return entry
    return None


def is_stored(
    repo: DataRepository, entry: LockEntry, bring: Callable[[LockEntry], None] | None = None
) -> bool:
    """Say whether the cache has all outputs of a result, those that git holds too; what it lacks is brought first."""
    if bring is not None:
        bring(entry)
    return all(has(repo, item.hash) for item in entry.outputs)


def restore_run(repo: DataRepository, root: Path, stage: Stage, entry: LockEntry) -> None:
    """Put a remembered result's outputs into the workspace; what git holds is copied, never linked."""
    declared = {output.path: output for output in stage.outputs}
    for item in entry.outputs:
        place = root / stage.place(item.path)
        source = f"{stage.file}:{stage.name}"
        if declared[item.path].is_cached:
            checkout_output(repo, Output(path=place, hash=item.hash, source=source), force=True)
            continue
        stored = repo.cache.find(item.hash)
        if stored is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            shutil.copyfile(stored, place)


def record_key(entry: LockEntry) -> str:
    """Return where a result is remembered, relative to the cache."""
    document = entry.to_document()
    return f"{_key(document)}/{_digest(document)}"


def _key(document: dict[str, Any]) -> str:
    key = _digest(document | {"outs": [item["path"] for item in document.get("outs", [])]})
    return f"runs/{key[:2]}/{key}"


def _folder(repo: DataRepository, document: dict[str, Any]) -> Path:
    return repo.cache.root / _key(document)


def _newest_first(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        names = [path for path in folder.iterdir() if not path.name.startswith(".")]
        yield from sorted(names, key=lambda path: os.stat(path).st_mtime_ns, reverse=True)


def _digest(document: object) -> str:
    return digest_bytes(json.dumps(sortable(_without(document)), sort_keys=True).encode())


def _without(value: object) -> object:
    if isinstance(value, list):
        return [_without(item) for item in value]
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in UNCOUNTED}
    return value
