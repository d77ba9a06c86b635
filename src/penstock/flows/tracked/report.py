"""`penstock data status`: commit, metafiles and workspace compared, directory by directory or file by file.

Source: dvc/repo/data.py (3.67).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.base.git import Git
from penstock.data.cache.legacy_transfer import legacy_absent
from penstock.data.cache.transfer import find_absent
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.data.verbs import diff
from penstock.flows.tracked.comparing import (
    LoadLists,
    absent_from_cache,
    add_lists,
    limit,
    note_lists,
    state_at,
    workspace_state,
)
from penstock.flows.tracked.selection import select

Listing = dict[str, str]


@dataclass(frozen=True)
class ReportOptions:
    """What to look at: single files, untracked files, a remote; `targets` are paths relative to the root."""

    granular: bool = False
    untracked: bool = False
    not_in_remote: bool = False
    remote: str | None = None
    targets: tuple[str, ...] = ()


def data_status(
    repo: DataRepository, options: ReportOptions, load_lists: LoadLists | None = None
) -> dict[str, Any]:
    """Return DVC's document: not_in_cache, not_in_remote, committed, uncommitted, untracked, unchanged.

    `load_lists` has the lists of directories that no cache has.
    """
    trees: dict[str, Mapping[str, str]] = {}
    outputs = [one.output for one in select(repo) if one.output.cached]
    recorded = {repo.relative(out.path): out.hash for out in outputs if out.hash is not None}
    with_git = repo.git_root() is not None
    note_lists(trees, outputs)
    head = state_at(repo, "HEAD", trees) if with_git and Git(repo.root).head() else {}
    workspace = workspace_state(repo, trees)
    if options.granular:
        add_lists(repo, trees, [*head.values(), *recorded.values()], load_lists)
    listed = [_list(repo, state, trees, granular=options.granular) for state in (head, recorded, workspace)]
    (old, old_unknown), (index, unknown), (now, _) = listed
    old, index, now = (limit(listing, options.targets) for listing in (old, index, now))
    committed = _changes(old, index, old_unknown, unknown) if with_git else {}
    uncommitted = _changes(index, now, unknown, set())
    absent = absent_from_cache(repo, index, recorded)
    lacking = [path for path, md5 in index.items() if md5 in absent]
    unchanged = [path for path, md5 in index.items() if now.get(path) == md5]
    if with_git:
        unchanged = [path for path in unchanged if old.get(path) == index[path]]
    has_old = any(info.algorithm != "md5" for info in recorded.values())
    remote = _not_in_remote(repo, index, options.remote, has_old=has_old) if options.not_in_remote else []
    untracked = (
        list(limit(dict.fromkeys(_untracked(repo), ""), options.targets))
        if options.untracked and with_git
        else []
    )
    return {
        "not_in_cache": lacking,
        "not_in_remote": remote,
        "committed": committed,
        "uncommitted": uncommitted,
        "untracked": untracked,
        "unchanged": unchanged,
    }


def _list(
    repo: DataRepository,
    state: Mapping[str, HashInfo],
    trees: Mapping[str, Mapping[str, str]],
    *,
    granular: bool,
) -> tuple[Listing, set[str]]:
    if granular:
        return diff.expand(repo, state, trees)
    return {f"{path}/" if info.is_tree else path: info.md5 for path, info in state.items()}, set()


def _changes(
    old: Listing, new: Listing, old_unknown: set[str], new_unknown: set[str]
) -> dict[str, list[Any]]:
    """Return what changed by kind; what lies below a directory whose old list is nowhere is `unknown`."""
    result = diff.compare(old, new, old_unknown | new_unknown)
    changes: dict[str, list[Any]] = {
        kind: [entry["path"] for entry in result[kind]]
        for kind in ("modified", "added", "deleted", "renamed")
        if result[kind]
    }
    hidden = tuple(old_unknown)
    unknown = sorted(path for path in new if hidden and path not in old_unknown and path.startswith(hidden))
    return {**changes, **({"unknown": unknown} if unknown else {})}


def _not_in_remote(repo: DataRepository, index: Listing, name: str | None, *, has_old: bool) -> list[str]:
    backend = repo.remote(name)
    try:
        absent = set(find_absent(backend, set(index.values())))
        absent = legacy_absent(backend, absent) if has_old else absent
    finally:
        backend.close()
    return [path for path, md5 in index.items() if md5 in absent]


def _untracked(repo: DataRepository) -> list[str]:
    listed = Git(repo.root).run_bytes("ls-files", "-z", "--others", "--exclude-standard")
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]
