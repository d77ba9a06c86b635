"""What a result stands on: commit, uncommitted changes, pipeline lock, data and environment."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata as packages
from pathlib import Path

from penstock.base.digest import digest_bytes
from penstock.data.output import HashInfo
from penstock.data.pointer import list_pointers
from penstock.flows.project import Project
from penstock.pipeline.definition import DEFINITION_FILE, load_stages
from penstock.pipeline.lockfile import LOCK_FILE
from penstock.pipeline.outputs import list_outputs


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
    made = [LOCK_FILE, *(path for path, _ in uncached_outputs(project.root))]
    patch = project.git.dirty_patch(leave_out=made) if _is_git(project.root) else b""
    lock = project.root / LOCK_FILE
    return CodeState(
        commit=project.git.head() if _is_git(project.root) else None,
        dirty_digest=project.artifacts.put(patch) if patch else None,
        lock_digest=project.artifacts.put(lock.read_bytes()) if lock.is_file() else None,
    )


def uncached_outputs(root: Path) -> list[tuple[str, HashInfo]]:
    """Return the pipeline's outputs that git holds (`cache: false`) with their locked content."""
    return [
        (output.path.relative_to(root).as_posix(), output.hash)
        for output in list_outputs(root)
        if not output.cached and output.hash is not None
    ]


def lock_digest(root: Path) -> str | None:
    """Return the digest of the pipeline's lock as it is, or None where there is none."""
    path = root / LOCK_FILE
    return digest_bytes(path.read_bytes()) if path.is_file() else None


def data_digests(project: Project) -> dict[str, str]:
    """Return the digests (`md5:…`) of all tracked data the pipeline reads, by path.

    Tracked data is what a pointer declares; what a stage makes is not an input.
    """
    root = project.root
    if not (root / DEFINITION_FILE).is_file():
        return {}
    pointers = [
        (output.path.relative_to(root).as_posix(), output.hash)
        for pointer in list_pointers(project.data)
        for output in pointer.outputs
        if output.hash is not None
    ]
    reads = {stage.place(path) for stage in load_stages(root) for path in stage.dependencies}
    return {
        path: f"md5:{info.md5}"
        for path, info in sorted(pointers, key=lambda item: item[0])
        if any(_related(path, read) for read in reads)
    }


def stage_of_output(root: Path, path: str) -> tuple[str, HashInfo] | None:
    """Return the stage that makes `path` (relative to the root) and what it locked, or None.

    A path inside an output directory is not one the lock knows by itself.
    """
    if not (root / DEFINITION_FILE).is_file():
        return None
    for output in list_outputs(root):
        if output.path == root / path and output.hash is not None:
            return output.source.partition(":")[2], output.hash
    return None


def environment() -> dict[str, str]:
    """Return the interpreter, the platform and every installed package with its version."""
    found = {
        distribution.metadata["Name"].lower(): distribution.version
        for distribution in packages.distributions()
    }
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        **dict(sorted(found.items())),
    }


def _related(path: str, read: str) -> bool:
    return path == read or path.startswith(f"{read}/") or read.startswith(f"{path}/")


def _is_git(root: Path) -> bool:
    return any((directory / ".git").exists() for directory in (root, *root.parents))
