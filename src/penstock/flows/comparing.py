"""Tracked data compared between two commits, or a commit and the workspace (`penstock diff`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from penstock.base.git import Git
from penstock.data import diff
from penstock.data.hashing import hash_path, hash_tree
from penstock.data.output import HashInfo, Output
from penstock.data.pointer import SUFFIX, parse_pointer
from penstock.data.repository import DataRepository
from penstock.flows.selection import ExtraOutputs, no_outputs, select


def compare_revisions(
    repo: DataRepository,
    old: str = "HEAD",
    new: str | None = None,
    *,
    targets: Sequence[str] = (),
    extra_outputs: ExtraOutputs = no_outputs,
    extra_outputs_at: Callable[[str], Iterable[Output]] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Compare tracked data of two revisions, or of a revision and the workspace (`new` None).

    `extra_outputs_at` gives the pipeline's outputs as of a revision. Returns an empty mapping when
    nothing differs, else the lists of `dvc diff --json` with hashes.
    """
    trees: dict[str, Mapping[str, str]] = {}
    git = Git(repo.root)
    if git.head() is None:
        return {}
    before = _state_at(repo, git, old, extra_outputs_at)
    if new is not None:
        after = _state_at(repo, git, new, extra_outputs_at)
    else:
        after = _workspace_state(repo, extra_outputs, trees)
    old_list, old_unknown = diff.expand(repo, before, trees)
    new_list, new_unknown = diff.expand(repo, after, trees)
    result = diff.compare(old_list, new_list, old_unknown | new_unknown)
    if new is None:
        absent = repo.cache.missing(set(old_list.values()))
        result["not in cache"] = [
            {"path": path, "hash": md5} for path, md5 in sorted(old_list.items()) if md5 in absent
        ]
    if targets:
        result = _limit(result, targets)
    return result if any(result.values()) else {}


def _state_at(
    repo: DataRepository, git: Git, revision: str, extra_outputs_at: Callable[[str], Iterable[Output]] | None
) -> dict[str, HashInfo]:
    sha = git.resolve(revision)
    top = git.run("rev-parse", "--show-prefix", check=False)
    state: dict[str, HashInfo] = {}
    listed = git.run_bytes("ls-tree", "-r", "-z", "--name-only", sha, ".")
    for raw in listed.split(b"\0"):
        name = os.fsdecode(raw)
        if not name.endswith(SUFFIX) or name.rpartition("/")[2] == SUFFIX or name.startswith(f"{SUFFIX}/"):
            continue
        text = git.show(sha, f"{top}{name}").decode()
        for output in parse_pointer(repo, repo.root / name, text).outputs:
            if output.hash is not None and output.cached:
                state[repo.relative(output.path)] = output.hash
    for output in extra_outputs_at(sha) if extra_outputs_at else ():
        if output.hash is not None and output.cached:
            state[repo.relative(output.path)] = output.hash
    return state


def _workspace_state(
    repo: DataRepository, extra_outputs: ExtraOutputs, trees: dict[str, Mapping[str, str]]
) -> dict[str, HashInfo]:
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


def _limit(
    result: dict[str, list[dict[str, Any]]], targets: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    def covered(path: str) -> bool:
        return any(
            path.rstrip("/") == t or path.startswith(f"{t}/") for t in (one.rstrip("/") for one in targets)
        )

    def paths(entry: dict[str, Any]) -> list[str]:
        path = entry["path"]
        return list(path.values()) if isinstance(path, dict) else [path]

    return {key: [one for one in entries if any(map(covered, paths(one)))] for key, entries in result.items()}
