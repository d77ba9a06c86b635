"""Bring a tree's tracked data and pipeline outputs into place: from the cache, else from the remote."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from penstock.base.errors import NotFound
from penstock.data.cache.presence import has
from penstock.data.cache.transfer import fetch_objects
from penstock.data.formats.output import HashInfo
from penstock.data.repository import DataRepository
from penstock.flows.tracked.versioning import Chosen, checkout, select
from penstock.project.project import Project

SHOWN = 8


@dataclass(frozen=True)
class Brought:
    """How many tracked paths are in place, how many objects came from the remote, what could not be had."""

    output_count: int
    fetched_count: int
    absent: tuple[str, ...]


def bring_outputs(tree: Project, remotes: DataRepository) -> Brought:
    """Check out every tracked path of `tree`, fetching what the cache lacks from the default remote.

    What a pipeline stage made may be absent: it can be made again, and is named in the result.

    Args:
        tree: the project whose working tree is filled.
        remotes: the repository whose configuration names the remote (relative URLs are relative to it).

    Raises:
        NotFound: data that a pointer names is neither in the cache nor on the remote.
    """
    repo = tree.data
    chosen = [one for one in select(repo) if one.output.hash and one.output.cached]
    absent = [one for one in chosen if not _is_here(repo, one)]
    fetched = _fetch(repo, remotes, [one.output.hash for one in absent if one.output.hash]) if absent else 0
    lost = [one for one in absent if not _is_here(repo, one)]
    required = [one for one in lost if one.pointer is not None]
    if required:
        paths = [repo.relative(one.output.path) for one in required]
        what = f"{', '.join(paths[:SHOWN])}{' …' if len(paths) > SHOWN else ''}"
        raise NotFound(
            f"{what} {'is' if len(paths) == 1 else 'are'} neither in the cache nor on the remote",
            code="data.object_missing",
            hint=f"penstock push {shlex.join(paths)}, where {'it was' if len(paths) == 1 else 'they were'} added",
            path=paths[0],
            paths=paths,
        )
    present = [repo.relative(one.output.path) for one in chosen if one not in lost]
    if present:
        checkout(repo, present)
    return Brought(len(present), fetched, tuple(repo.relative(one.output.path) for one in lost))


def _is_here(repo: DataRepository, one: Chosen) -> bool:
    return one.output.hash is not None and has(repo, one.output.hash)


def _fetch(repo: DataRepository, remotes: DataRepository, hashes: list[HashInfo]) -> int:
    try:
        backend = remotes.remote()
    except NotFound:
        return 0
    try:
        return fetch_objects(repo, hashes, backend).done
    finally:
        backend.close()
