"""Tracked data compared between two commits, or a commit and the workspace (`penstock diff`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.base.errors import Invalid, NotFound
from penstock.base.git import Git
from penstock.data.cache.hashing import hash_path, hash_tree
from penstock.data.cache.legacy import legacy_files, legacy_md5
from penstock.data.cache.legacy_transfer import missing_legacy
from penstock.data.formats.output import HashInfo, Output
from penstock.data.formats.tree import render_tree, tree_md5
from penstock.data.pointers.metafiles import SUFFIX
from penstock.data.pointers.pointer import load_pointer
from penstock.data.repository import DataRepository
from penstock.data.verbs import diff
from penstock.flows.tracked.history import outputs_at
from penstock.flows.tracked.selection import select

LoadLists = Callable[
    [Sequence[HashInfo]], Mapping[str, Mapping[str, str]]
]  # files by path, by the list's name


def compare_revisions(
    repo: DataRepository,
    old: str = "HEAD",
    new: str | None = None,
    *,
    targets: Sequence[str] = (),
    load_lists: LoadLists | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Compare tracked data of two revisions, or of a revision and the workspace (`new` None).

    `targets` are what `resolve_targets` returns, `load_lists` has the lists of directories that no cache has. Returns an empty mapping when nothing differs, else the lists of `dvc diff --json` with hashes.

    Raises:
        Invalid: the repository works without git.
        NotFound: there is no such revision, or neither state has a target.
    """
    trees: dict[str, Mapping[str, str]] = {}
    if repo.git_root() is None:
        raise Invalid(
            "diff compares with what git committed, and this repository works without git",
            code="data.no_git",
            hint="penstock status",
        )
    if Git(repo.root).head() is None:
        return {}
    before = state_at(repo, old, trees)
    after = state_at(repo, new, trees) if new is not None else workspace_state(repo, trees)
    add_lists(repo, trees, [*before.values(), *after.values()], load_lists)
    old_list, old_unknown = diff.expand(repo, before, trees)
    new_list, new_unknown = diff.expand(repo, after, trees)
    check_tracked([*old_list, *new_list], targets)
    old_list, new_list = limit(old_list, targets), limit(new_list, targets)
    result = diff.compare(old_list, new_list, old_unknown | new_unknown)
    if new is None:
        absent = absent_from_cache(repo, old_list, before)
        result["not in cache"] = [
            {"path": path, "hash": md5} for path, md5 in sorted(old_list.items()) if md5 in absent
        ]
    return result if any(result.values()) else {}


def add_lists(
    repo: DataRepository,
    trees: dict[str, Mapping[str, str]],
    infos: Iterable[HashInfo],
    load_lists: LoadLists | None,
) -> None:
    """Add the lists of directories that neither the cache nor `trees` has, as far as they can be had."""
    absent = {
        info.md5: info
        for info in infos
        if info.is_tree and info.md5 not in trees and repo.cache.find(info) is None
    }
    if absent and load_lists is not None:
        trees.update(load_lists(list(absent.values())))


def state_at(
    repo: DataRepository, revision: str, trees: dict[str, Mapping[str, str]] | None = None
) -> dict[str, HashInfo]:
    """Return what pointers and pipeline locks of a revision record, by path; `trees` receives the lists in pointers.

    Raises:
        NotFound: there is no such revision.
    """
    sha = Git(repo.root).resolve(revision)
    outputs = [one for one in outputs_at(repo, [sha]) if one.hash is not None and one.cached]
    if trees is not None:
        note_lists(trees, outputs)
    return {repo.relative(output.path): output.hash for output in outputs if output.hash is not None}


def note_lists(trees: dict[str, Mapping[str, str]], outputs: Iterable[Output]) -> None:
    """Add the lists that stand in pointers, as cloud-versioned directories have them."""
    for output in outputs:
        if output.files is not None and output.hash is not None:
            trees[output.hash.md5] = {name: info.md5 for name, info in output.files}


def workspace_state(repo: DataRepository, trees: dict[str, Mapping[str, str]]) -> dict[str, HashInfo]:
    """Return what tracked paths hold now; `trees` receives the files of directories that no cache has."""
    state: dict[str, HashInfo] = {}
    for one in select(repo):
        path, known = one.output.path, one.output.hash
        if not one.output.cached or not path.exists():
            continue
        if known is not None and known.algorithm != "md5":
            info, files = legacy_content(repo, path)
            state[repo.relative(path)] = info
            if files is not None:
                trees[info.md5] = files
        elif path.is_dir():
            tree = hash_tree(repo, path)
            state[repo.relative(path)] = tree.info
            if not repo.cache.has_md5(tree.info.md5):
                trees[tree.info.md5] = dict(sorted(tree.files().items()))
        else:
            state[repo.relative(path)] = hash_path(repo, path)
    return state


def legacy_content(repo: DataRepository, path: Path) -> tuple[HashInfo, dict[str, str] | None]:
    """Return what DVC 2 would call what is at a path, and the files of a directory."""
    if not path.is_dir():
        return HashInfo(legacy_md5(repo, path), algorithm="md5-dos2unix"), None
    files = legacy_files(repo, path)
    return HashInfo(tree_md5(render_tree(files.items())), algorithm="md5-dos2unix"), files


def absent_from_cache(
    repo: DataRepository, listing: Mapping[str, str], state: Mapping[str, HashInfo]
) -> set[str]:
    """Return the names in a listing that the cache holds in no layout; DVC 2's counts where the state has such."""
    absent = repo.cache.missing(set(listing.values()))
    has_old = any(info.algorithm != "md5" for info in state.values())
    return missing_legacy(repo, absent) if has_old else absent


def resolve_targets(repo: DataRepository, targets: Sequence[str], base: Path) -> tuple[str, ...]:
    """Return targets as paths relative to the root: a pointer means what it tracks, the root everything.

    Args:
        base: what relative targets count from.

    Raises:
        Invalid: a target is outside the repository.
    """
    found: list[str] = []
    for target in targets:
        path = Path(os.path.normpath(base / target))
        if path == repo.root:
            return ()
        if path.name.endswith(SUFFIX) and path.is_file():
            found += [repo.relative(output.path) for output in load_pointer(repo, path).outputs]
        else:
            found.append(repo.relative(path).removesuffix(SUFFIX))
    return tuple(found)


def check_tracked(listed: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse a target that is nowhere in the listed paths.

    Raises:
        NotFound: as said.
    """
    for target in targets:
        if not limit(dict.fromkeys(listed, ""), [target]):
            raise NotFound(
                f"{target} is not tracked",
                code="data.not_tracked",
                hint="penstock list . --dvc-only -R",
                target=target,
            )


def limit(listing: Mapping[str, str], targets: Sequence[str]) -> dict[str, str]:
    """Keep what is at or below a target; without targets everything."""
    wanted = [target.rstrip("/") for target in targets]
    return {
        path: md5
        for path, md5 in listing.items()
        if not wanted or any(path.rstrip("/") == one or path.startswith(f"{one}/") for one in wanted)
    }
