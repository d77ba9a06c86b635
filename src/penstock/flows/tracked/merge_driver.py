"""Merge two versions of a pointer or of `dvc.lock` that git cannot merge line by line.

Directories are merged file by file from their lists in the cache (or the remote), pipelines stage by stage.
What cannot be merged is told by name, and git's own conflict marks are left in the text.

Source: dvc/commands/git_hook.py and dvc/stage/__init__.py, `merge` (3.67); differs in that both sides may change
and remove files, and that `dvc.lock` is merged too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, PenstockError
from penstock.data.cache.transfer import fetch_trees
from penstock.data.formats.merging import merge, merge_trees
from penstock.data.formats.output import HashInfo
from penstock.data.formats.tree import render_tree
from penstock.data.formats.yamltext import dump_document, load_document
from penstock.data.pointers.metafiles import SUFFIX
from penstock.data.pointers.pointer import read_hash
from penstock.data.pointers.rendering import hash_entry, pointer_md5
from penstock.data.repository import DataRepository

LOCK = "dvc.lock"
CONTENT = ("md5", "size", "nfiles", "isexec", "hash", "etag", "checksum", "version_id", "cloud", "files")
"""The keys of an entry that tell what is in it: they change together."""


@dataclass(frozen=True)
class MergeResult:
    """The merged text, and what both sides changed differently; with conflicts the text is not to be used."""

    text: str
    conflicts: tuple[str, ...]


def merge_metafile(repo: DataRepository, name: str, base: str, ours: str, theirs: str) -> MergeResult:
    """Merge three versions of the metafile `name`; `base` is empty where both sides added it.

    DVC's own driver line does not pass a name; then what is in the text tells which kind it is.

    Raises:
        Invalid: one of them is not such a file.
    """
    documents = [
        load_document(text, f"{name} ({side})")
        for text, side in ((base, "base"), (ours, "ours"), (theirs, "theirs"))
    ]
    if os.path.basename(name) == LOCK or "stages" in documents[1]:
        conflicts = _merge_lock(*documents)
    elif name.endswith(SUFFIX) or "outs" in documents[1]:
        conflicts = _merge_pointer(repo, name, *documents)
    else:
        raise Invalid(f"{name} is neither a pointer nor {LOCK}", code="data.not_a_metafile", path=name)
    return MergeResult(dump_document(documents[1]), tuple(conflicts))


def _merge_lock(
    base: Mapping[str, Any], ours: MutableMapping[str, Any], theirs: Mapping[str, Any]
) -> list[str]:
    stages = [side.get("stages") or {} for side in (base, ours, theirs)]
    merged = merge(*stages)
    rest = merge(
        *({key: value for key, value in side.items() if key != "stages"} for side in (base, ours, theirs))
    )
    ours.clear()
    ours.update(rest.values)
    ours["stages"] = merged.values
    return [*map(str, rest.conflicts), *(f"stage {name}" for name in merged.conflicts)]


def _merge_pointer(
    repo: DataRepository,
    name: str,
    base: Mapping[str, Any],
    ours: MutableMapping[str, Any],
    theirs: Mapping[str, Any],
) -> list[str]:
    sides = (base, ours, theirs)
    rest = merge(
        *({key: value for key, value in side.items() if key not in {"outs", "md5"}} for side in sides)
    )
    conflicts = [f"{name}: {key}" for key in rest.conflicts]
    outs = [{str(entry.get("path")): entry for entry in side.get("outs") or []} for side in sides]
    for path in dict.fromkeys([*outs[1], *outs[2]]):
        entries = [side.get(path) for side in outs]
        if entries[1] is None or entries[2] is None:
            there = entries[1] if entries[1] is not None else entries[2]
            if entries[0] is not None and there != entries[0]:
                conflicts.append(f"{path}: removed on one side, changed on the other")
            elif entries[0] is not None:
                outs[1].pop(path, None)
            else:
                outs[1][path] = there or {}
            continue
        conflicts += _merge_output(repo, name, entries[0] or {}, outs[1][path], outs[2][path])
    merged = list(outs[1].values())
    apart = {key: ours[key] for key in ("outs", "md5") if key in ours}
    _become(ours, {**rest.values, **apart, **({} if merged == ours.get("outs") else {"outs": merged})})
    if "md5" in ours:
        ours["md5"] = pointer_md5(ours)
    return conflicts


def _merge_output(
    repo: DataRepository,
    name: str,
    base: Mapping[str, Any],
    ours: MutableMapping[str, Any],
    theirs: Mapping[str, Any],
) -> list[str]:
    sides = (base, ours, theirs)
    path = str(ours.get("path"))
    rest = merge(*({key: value for key, value in side.items() if key not in CONTENT} for side in sides))
    conflicts = [f"{path}: {key}" for key in rest.conflicts]
    contents = [{key: side[key] for key in CONTENT if key in side} for side in sides]
    chosen = contents[1]
    if contents[1] in (contents[0], contents[2]):
        chosen = contents[2]
    elif contents[2] != contents[0]:
        infos = [read_hash(side, name) for side in sides]
        merged = _merge_directories(repo, path, infos[0], infos[1], infos[2])
        if isinstance(merged, HashInfo):
            chosen = {**hash_entry(merged), "hash": "md5"}
        else:
            conflicts += merged
    _become(ours, {**chosen, **rest.values})
    return conflicts


def _become(document: MutableMapping[str, Any], values: Mapping[str, Any]) -> None:
    """Give a document these values, touching only what differs: comments stand beside what is touched."""
    for key in [key for key in document if key not in values]:
        del document[key]
    for key, value in values.items():
        if key not in document or document[key] != value:
            document[key] = value


def _merge_directories(
    repo: DataRepository, path: str, base: HashInfo | None, ours: HashInfo | None, theirs: HashInfo | None
) -> HashInfo | list[str]:
    """Return the merged directory, its list put into the cache, or what is in the way."""
    if ours is None or theirs is None or not (ours.is_tree and theirs.is_tree):
        return [f"{path}: both sides changed it"]
    if base is not None and not base.is_tree:
        return [f"{path}: both sides made a directory of it"]
    known = [info for info in (base, ours, theirs) if info is not None]
    _fetch_lists(repo, known)
    trees = [{} if info is None else repo.cache.load_tree(info) for info in (base, ours, theirs)]
    merged = merge_trees(*trees)
    if merged.conflicts:
        return [f"{path}/{conflict}" for conflict in merged.conflicts]
    md5 = repo.cache.put_tree(render_tree(merged.values.items()))
    return HashInfo(md5, _size(repo, merged.values), len(merged.values))


def _fetch_lists(repo: DataRepository, infos: list[HashInfo]) -> None:
    absent = repo.cache.missing([info.md5 for info in infos])
    if absent and repo.config.get("core", "remote"):
        remote = repo.remote()
        try:
            fetch_trees(repo, absent, remote)
        finally:
            remote.close()


def _size(repo: DataRepository, tree: Mapping[str, str]) -> int | None:
    """Return the size of a directory in bytes, or None where a file of it is not in the cache."""
    try:
        return sum(os.stat(repo.cache.path(md5)).st_size for md5 in tree.values())
    except OSError:
        return None


def run_merge_driver(
    repo: DataRepository, name: str, base: Path, ours: Path, theirs: Path
) -> tuple[str, ...]:
    """Merge three files as git hands them over and write the result over `ours`; return the conflicts.

    With conflicts `ours` gets git's marks. Raises nothing for what a user's data can be: that is a conflict too.
    """
    try:
        texts = [path.read_text(encoding="utf-8") for path in (base, ours, theirs)]
        result = merge_metafile(repo, name, *texts)
    except UnicodeDecodeError:
        return (f"{name}: not text",)
    except PenstockError as error:
        return (f"{name}: {error.message}",)
    if not result.conflicts:
        ours.write_text(result.text, encoding="utf-8")
    return result.conflicts
