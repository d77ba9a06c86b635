"""The workspace put back as it was, where an experiment in it fails or is interrupted.

What is kept: the small files a run changes (parameters, locks, pointers, `.gitignore`), as bytes; outputs, in the cache.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock.base.files import remove_path, write_atomic
from penstock.data.cache.hashing import hash_path, save_path
from penstock.data.formats.output import HashInfo, Output
from penstock.data.pointers.metafiles import find_definitions, find_pointer_files
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import checkout_output
from penstock.pipeline.lockfile import LOCK_FILE
from penstock.pipeline.outputs import list_outputs


@dataclass(frozen=True)
class Kept:
    """What was there: the bytes of small files (None: there was none), and each output with its content's hash."""

    files: dict[Path, bytes | None]
    outputs: tuple[tuple[Output, HashInfo | None], ...]


@contextmanager
def kept_workspace(repo: DataRepository, files: Iterable[Path]) -> Iterator[None]:
    """Put the workspace back when the block raises; `files` are the further files it changes."""
    kept = keep(repo, files)
    try:
        yield
    except BaseException:
        put_back(repo, kept)
        raise


def keep(repo: DataRepository, files: Iterable[Path]) -> Kept:
    """Return what is there now; outputs enter the cache."""
    outputs = list_outputs(repo)
    small = {*files, *(path.with_name(LOCK_FILE) for path in find_definitions(repo))}
    small |= set(find_pointer_files(repo))  # a run records what changed in them
    small |= {output.path.parent / ".gitignore" for output in outputs}
    return Kept(
        {path: path.read_bytes() if path.is_file() else None for path in sorted(small)},
        tuple((one, save_path(repo, one.path) if os.path.exists(one.path) else None) for one in outputs),
    )


def put_back(repo: DataRepository, kept: Kept) -> None:
    """Bring files and outputs to what they were."""
    for path, data in kept.files.items():
        if data is None:
            path.unlink(missing_ok=True)
        elif not path.is_file() or path.read_bytes() != data:
            write_atomic(path, data)
    for output, info in kept.outputs:
        if info is None:
            remove_path(output.path)
        elif not os.path.exists(output.path) or hash_path(repo, output.path).md5 != info.md5:
            _restore(repo, output, info)


def _restore(repo: DataRepository, output: Output, info: HashInfo) -> None:
    if output.cached or info.is_tree:
        checkout_output(repo, Output(path=output.path, hash=info, source=output.source), force=True)
        return
    stored = repo.cache.find(info)
    if stored is not None:
        output.path.parent.mkdir(parents=True, exist_ok=True)
        output.path.unlink(missing_ok=True)
        shutil.copyfile(stored, output.path)
