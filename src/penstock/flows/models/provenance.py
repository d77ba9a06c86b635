"""What a result stands on: commit, uncommitted changes, pipeline lock and data; on which packages, `project.environment`."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from penstock.base.errors import Invalid
from penstock.base.files import write_atomic
from penstock.data.cache.hashing import hash_path
from penstock.data.formats.output import HashInfo, Output
from penstock.data.pointers.pointer import list_pointers
from penstock.data.repository import DataRepository
from penstock.pipeline.definition import load_all_stages
from penstock.pipeline.lockfile import LOCK_FILE, lock_files, read_locks
from penstock.pipeline.outputs import list_outputs
from penstock.project.project import Project


@dataclass(frozen=True)
class CodeState:
    """The code and pipeline state of a working tree; digests name artifacts.

    `dirty_digest` is None when the tree is clean but for the lock; `lock_digest` is None without a lock.
    """

    commit: str | None
    dirty_digest: str | None
    lock_digest: str | None


def capture_code(project: Project) -> CodeState:
    """Store what cannot be had from git (uncommitted changes, the lock) and return the state's keys.

    What the pipeline makes is not code: the lock names it, whether git holds it or the cache.
    """
    commit = project.git.head() if _is_git(project.root) else None
    patch = _uncommitted(project, commit)
    return CodeState(
        commit=commit,
        dirty_digest=project.artifacts.put(patch) if patch else None,
        lock_digest=keep_locks(project),
    )


def keep_locks(project: Project) -> str | None:
    """Store the pipelines' locks as they are and return their digest, or None where there are none."""
    locks = read_locks(project.data)
    return project.artifacts.put(locks) if locks is not None else None


def uncommitted(project: Project) -> bytes:
    """Return what the tree has beyond its commit, as a patch; what the pipeline makes is left out."""
    return _uncommitted(project, project.git.head() if _is_git(project.root) else None)


def _uncommitted(project: Project, commit: str | None) -> bytes:
    made = [*lock_files(project.data), *(path for path, _ in uncached_outputs(project.data))]
    return project.git.dirty_patch(leave_out=made, commit=commit) if _is_git(project.root) else b""


def write_locks(root: Path, locks: bytes) -> None:
    """Write the locks that `capture_code` stored to their places."""
    texts = json.loads(locks) if locks.startswith(b"{") else {LOCK_FILE: locks.decode()}
    for name, text in texts.items():
        place = Path(os.path.normpath(root / name))
        is_inside = place.parent.resolve().is_relative_to(root.resolve())
        if place.name != LOCK_FILE or not is_inside:
            raise Invalid(f"{name} is not a lock of this repository", code="data.outside", path=name)
        write_atomic(place, text.encode())


def uncached_outputs(repo: DataRepository) -> list[tuple[str, HashInfo]]:
    """Return the pipeline's outputs that git holds (`cache: false`) with their locked content."""
    return [
        (output.path.relative_to(repo.root).as_posix(), output.hash)
        for output in list_outputs(repo)
        if not output.cached and output.hash is not None
    ]


def data_digests(project: Project, renewed: Collection[str] = ()) -> dict[str, str]:
    """Return the digests (`md5:…`) of all tracked data the pipeline reads, by path.

    Tracked data is what a pointer declares; what a stage makes is not an input.

    Args:
        renewed: the pointers that a reproduction is about to record anew: what lies there is what stages will read.
    """
    root = project.root
    stages = load_all_stages(project.data)
    if not stages:
        return {}
    pointers = [
        (output.path.relative_to(root).as_posix(), info)
        for pointer in list_pointers(project.data)
        for output in pointer.outputs
        if (info := _now(project.data, output, is_renewed=project.data.relative(pointer.path) in renewed))
    ]
    reads = {path for stage in stages for path in stage.reads}
    return {
        path: f"md5:{info.md5}"
        for path, info in sorted(pointers, key=lambda item: item[0])
        if any(_related(path, read) for read in reads)
    }


def _now(repo: DataRepository, output: Output, *, is_renewed: bool) -> HashInfo | None:
    return hash_path(repo, output.path) if is_renewed and output.path.exists() else output.hash


def stage_of_output(repo: DataRepository, path: str) -> tuple[str, HashInfo] | None:
    """Return the stage that makes `path` (relative to the root) and what it locked, or None.

    A path inside an output directory is not one the lock knows by itself.
    """
    for output in list_outputs(repo):
        if output.path == repo.root / path and output.hash is not None:
            return output.source.partition(":")[2], output.hash
    return None


def _related(path: str, read: str) -> bool:
    return path == read or path.startswith(f"{read}/") or read.startswith(f"{path}/")


def _is_git(root: Path) -> bool:
    return any((directory / ".git").exists() for directory in (root, *root.parents))
