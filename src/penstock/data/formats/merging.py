"""Three-way merges: of trees path by path, and of mappings key by key.

A change that only one side made is taken; the same change on both sides is no conflict; two different ones
are. Pure: texts and objects are the caller's business.

Differs from dvc/repo/../merge in that files may also be changed or removed on both sides; DVC merges directories
to which files were only added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
_ABSENT = object()


@dataclass(frozen=True)
class Merged(Generic[K, V]):
    """What came out, and the keys that both sides changed differently; those keep our value."""

    values: dict[K, V]
    conflicts: tuple[K, ...]


def merge(base: Mapping[K, V], ours: Mapping[K, V], theirs: Mapping[K, V]) -> Merged[K, V]:
    """Merge what two sides made of `base`, in our order; what they alone have follows in theirs.

    Example:
        >>> merge({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "c": 3})
        Merged(values={'a': 2, 'c': 3}, conflicts=())
    """
    values: dict[K, V] = {}
    conflicts = []
    for key in dict.fromkeys([*ours, *theirs, *base]):
        before, mine, other = (side.get(key, _ABSENT) for side in (base, ours, theirs))
        chosen = mine
        if mine == before:
            chosen = other
        elif other not in (before, mine):
            conflicts.append(key)
        if chosen is not _ABSENT:
            values[key] = chosen  # type: ignore[assignment]
    return Merged(values, tuple(conflicts))


def merge_trees(
    base: Mapping[str, str], ours: Mapping[str, str], theirs: Mapping[str, str]
) -> Merged[str, str]:
    """Merge directories, as md5 by path; a path that is a file here and a directory there is a conflict."""
    merged = merge(base, ours, theirs)
    folders = {
        "/".join(parts[:depth])
        for name in merged.values
        for parts in [name.split("/")]
        for depth in range(1, len(parts))
    }
    clashes = folders & merged.values.keys()
    return Merged(merged.values, tuple(sorted({*merged.conflicts, *clashes})))
