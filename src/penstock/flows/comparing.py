"""Tracked data compared between two commits, or a commit and the workspace (`penstock diff`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.base.errors import Invalid
from penstock.base.git import Git
from penstock.data import diff
from penstock.data.hashing import hash_path, hash_tree
from penstock.data.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.flows.data_history import outputs_at
from penstock.flows.selection import ExtraOutputs, no_outputs, select


def compare_revisions(
    repo: DataRepository,
    old: str = "HEAD",
    new: str | None = None,
    *,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
) -> dict[str, list[dict[str, Any]]]:
    """Compare tracked data of two revisions, or of a revision and the workspace (`new` None).

    Returns an empty mapping when nothing differs, else the lists of `dvc diff --json` with hashes.

    Raises:
        Invalid: the repository works without git.
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
    before = state_at(repo, old)
    after = state_at(repo, new) if new is not None else workspace_state(repo, extra_outputs, trees)
    old_list, old_unknown = diff.expand(repo, before, trees)
    new_list, new_unknown = diff.expand(repo, after, trees)
    old_list, new_list = limit(old_list, targets), limit(new_list, targets)
    result = diff.compare(old_list, new_list, old_unknown | new_unknown)
    if new is None:
        absent = repo.cache.missing(set(old_list.values()))
        result["not in cache"] = [
            {"path": path, "hash": md5} for path, md5 in sorted(old_list.items()) if md5 in absent
        ]
    return result if any(result.values()) else {}


def state_at(repo: DataRepository, revision: str) -> dict[str, HashInfo]:
    """Return what pointers and pipeline locks of a revision record, by path.

    Raises:
        NotFound: there is no such revision.
    """
    sha = Git(repo.root).resolve(revision)
    return {
        repo.relative(output.path): output.hash
        for output in outputs_at(repo, [sha])
        if output.hash is not None and output.cached
    }


def workspace_state(
    repo: DataRepository, extra_outputs: ExtraOutputs, trees: dict[str, Mapping[str, str]]
) -> dict[str, HashInfo]:
    """Return what tracked paths hold now; `trees` receives the files of directories that no cache has."""
    state: dict[str, HashInfo] = {}
    for one in select(repo, (), extra_outputs):
        path = one.output.path
        if not one.output.cached or not path.exists():
            continue
        if path.is_dir():
            tree = hash_tree(repo, path)
            state[repo.relative(path)] = tree.info
            if not repo.cache.has_md5(tree.info.md5):
                trees[tree.info.md5] = tree.files()
        else:
            state[repo.relative(path)] = hash_path(repo, path)
    return state


def limit(listing: Mapping[str, str], targets: Sequence[str]) -> dict[str, str]:
    """Keep what is at or below a target; without targets everything."""
    wanted = [target.rstrip("/") for target in targets]
    return {
        path: md5
        for path, md5 in listing.items()
        if not wanted or any(path.rstrip("/") == one or path.startswith(f"{one}/") for one in wanted)
    }
