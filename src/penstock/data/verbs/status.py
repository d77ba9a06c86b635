"""How an output's path and the cache compare with its recorded hash, in DVC's words."""

from __future__ import annotations

import os
from typing import Literal

from penstock.base.errors import Invalid, NotFound
from penstock.data.cache.hashing import hash_path
from penstock.data.cache.presence import has
from penstock.data.files.regular import is_special
from penstock.data.formats.output import HashInfo, Output
from penstock.data.repository import DataRepository

State = Literal["unchanged", "modified", "deleted", "not in cache"]


def output_state(repo: DataRepository, output: Output) -> State:
    """Return one word for an output.

    `not in cache`: an object it names is missing. `deleted`: nothing is at its path. `modified`: what is there has
    another hash, or none was recorded.

    Source: dvc/output.py, `Output.status` and `workspace_status` (3.67).
    """
    if output.hash is not None and output.cached and not _is_cached(repo, output, output.hash):
        return "not in cache"
    if output.hash is None:
        return "modified" if os.path.exists(output.path) else "deleted"
    try:
        current = hash_path(repo, output.path)
    except NotFound:
        if os.path.exists(output.path):  # something below it went away just now
            raise
        return "deleted"
    except Invalid:
        if is_special(output.path):  # a named pipe in the place of a file
            return "modified"
        raise
    if current.md5 == output.hash.md5:
        return "unchanged"
    if output.hash.algorithm == "md5-dos2unix" and legacy_matches(repo, output):
        return "unchanged"
    return "modified"


def _is_cached(repo: DataRepository, output: Output, info: HashInfo) -> bool:
    if output.files is None:
        return has(repo, info)
    return not repo.cache.missing({one.md5 for _, one in output.files})


def legacy_matches(repo: DataRepository, output: Output) -> bool:
    """Say whether a path holds what DVC 2 hashed with line ends normalised."""
    from penstock.data.cache.legacy import legacy_md5

    return output.hash is not None and legacy_md5(repo, output.path) == output.hash.md5
