"""Compare tracked data between two states, in the words and JSON of `dvc diff`.

A state is a mapping from output path (relative to the root) to its hash; directories are compared file by
file through their trees.

Source: dvc/repo/diff.py, dvc_data/index/diff.py (3.67).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from penstock.base.errors import NotFound
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository

Listing = dict[str, str]  # md5 by path; a directory's path ends with "/"


def expand(
    repo: DataRepository, state: Mapping[str, HashInfo], trees: Mapping[str, Mapping[str, str]]
) -> tuple[Listing, set[str]]:
    """List every path of a state, and those directories whose tree is nowhere.

    `trees` holds directories that were just scanned and are in no cache, by tree md5.
    """
    listing: Listing = {}
    unknown: set[str] = set()
    for path, info in state.items():
        if not info.is_tree:
            listing[path] = info.md5
            continue
        listing[f"{path}/"] = info.md5
        try:
            files = trees[info.md5] if info.md5 in trees else repo.cache.load_tree(info)
        except NotFound:
            unknown.add(f"{path}/")
            continue
        listing.update({f"{path}/{name}": md5 for name, md5 in files.items()})
    return listing, unknown


def compare(old: Listing, new: Listing, unknown: Iterable[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Return added, deleted, modified and renamed entries, each list sorted by path.

    Below a directory in `unknown` nothing is claimed. A deleted and an added path with the same digest
    are a rename.
    """
    hidden = tuple(unknown)
    added, deleted, modified = [], [], []
    for path, md5 in new.items():
        if path not in old:
            added.append((path, md5))
        elif old[path] != md5:
            modified.append({"path": path, "hash": {"old": old[path], "new": md5}})
    deleted = [(path, md5) for path, md5 in old.items() if path not in new]
    if hidden:
        added = [(path, md5) for path, md5 in added if path in hidden or not path.startswith(hidden)]
        deleted = [(path, md5) for path, md5 in deleted if path in hidden or not path.startswith(hidden)]
    renamed = []
    sources: dict[str, list[str]] = {}
    for path, md5 in sorted(deleted):
        sources.setdefault(md5, []).append(path)
    rest = []
    for path, md5 in sorted(added):
        if sources.get(md5):
            renamed.append({"path": {"old": sources[md5].pop(0), "new": path}, "hash": md5})
        else:
            rest.append({"path": path, "hash": md5})
    taken = {entry["path"]["old"] for entry in renamed}  # type: ignore[index]
    return {
        "added": rest,
        "deleted": [{"path": path, "hash": md5} for path, md5 in sorted(deleted) if path not in taken],
        "modified": sorted(modified, key=lambda entry: str(entry["path"])),
        "renamed": sorted(renamed, key=lambda entry: str(entry["path"]["old"])),
    }
