"""The workspace put back as it was, where an experiment in it fails, is interrupted or killed.

What is kept: the small files a run changes (parameters, locks, pointers, `.gitignore`), as bytes; outputs, in the cache.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import msgspec

from penstock.base.errors import PenstockError
from penstock.base.files import remove_path, write_atomic
from penstock.base.running import has_ended, is_from_here, name_process
from penstock.data.cache.hashing import hash_path, save_path
from penstock.data.formats.output import HashInfo, Output
from penstock.data.pointers.metafiles import find_definitions, find_pointer_files
from penstock.data.repository import DataRepository
from penstock.data.verbs.checkout import checkout_output
from penstock.pipeline.lockfile import LOCK_FILE
from penstock.pipeline.outputs import list_outputs
from penstock.pipeline.parameters import flatten, is_same, parse_values

NOTE = "penstock-experiment.json"


@dataclass(frozen=True)
class Kept:
    """What was there: the bytes of small files (None: there was none), and each output with its content's hash."""

    files: dict[Path, bytes | None]
    outputs: tuple[tuple[Output, HashInfo | None], ...]


class _Note(msgspec.Struct, frozen=True):
    """What is written down of `Kept` while the block runs, for who comes after a process that was killed."""

    process: str
    head: str
    before: dict[str, bytes | None]
    during: dict[str, bytes]
    outputs: dict[str, tuple[str, int | None, int | None, bool] | None]


@contextmanager
def kept_workspace(repo: DataRepository, head: str, changed: Mapping[Path, bytes]) -> Iterator[None]:
    """Put the workspace back when the block raises; `changed` are further files, with what the block makes of them.

    Where the process is killed, `recover` does it later.
    """
    kept = keep(repo, changed)
    note = repo.dvc_dir / "tmp" / NOTE
    write_atomic(note, msgspec.json.encode(_note(repo, head, kept, changed)), durable=False)
    try:
        yield
    except BaseException:
        put_back(repo, kept)
        raise
    finally:
        note.unlink(missing_ok=True)


@dataclass(frozen=True)
class Recovered:
    """What became of a workspace in which an experiment was killed: put back, or it had gone on since.

    Then `left` says, by file, which parameters are still what the experiment set: `lr=9 (was 0.1)`. `is_certain` is
    false where the process ran on another machine, or before this one started again: it may run still.
    """

    is_put_back: bool
    left: Mapping[str, list[str]]
    is_certain: bool = True


def recover(repo: DataRepository, head: str | None) -> Recovered | None:
    """Put the workspace back as it was before an experiment whose process was killed; None where none was.

    Where files were changed or a commit was made since, they stay: it is no longer that workspace.
    """
    place = repo.dvc_dir / "tmp" / NOTE
    try:
        note = msgspec.json.decode(place.read_bytes(), type=_Note)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    if not has_ended(note.process):
        left = {} if is_from_here(note.process) else _list_left(repo, note)
        return Recovered(False, left, is_certain=False) if left else None
    files = {repo.root / name: data for name, data in note.before.items()}
    is_same = head == note.head and all(
        path.name == LOCK_FILE or _content(path) in (data, note.during.get(repo.relative(path)))
        for path, data in files.items()
    )
    if is_same:
        known = {repo.relative(output.path): output for output in list_outputs(repo)}
        outputs = [
            (known[name], None if info is None else HashInfo(info[0], info[1], info[2], info[3]))
            for name, info in note.outputs.items()
            if name in known
        ]
        put_back(repo, Kept(files, tuple(outputs)))
    found = Recovered(is_same, {} if is_same else _list_left(repo, note))
    place.unlink(missing_ok=True)
    return found


def _list_left(repo: DataRepository, note: _Note) -> dict[str, list[str]]:
    """Return the parameters, by file, that are as the experiment set them and were not so before."""
    found = {}
    for name, during in note.during.items():
        values = [
            _parameters(name, data) for data in (note.before.get(name), during, _content(repo.root / name))
        ]
        before, changed, now = values
        left = [
            f"{key}={value}" + (f" (was {before[key]})" if key in before else " (new)")
            for key, value in changed.items()
            if key in now and is_same(now[key], value) and not (key in before and is_same(before[key], value))
        ]
        left += [
            f"{key} taken away (was {before[key]})" for key in before if key not in changed and key not in now
        ]
        if left:
            found[name] = left
    return found


def _parameters(name: str, data: bytes | None) -> dict[str, Any]:
    try:
        return flatten(parse_values((data or b"").decode(), PurePath(name)))
    except (PenstockError, UnicodeDecodeError):
        return {}


def _note(repo: DataRepository, head: str, kept: Kept, changed: Mapping[Path, bytes]) -> _Note:
    return _Note(
        name_process(),
        head,
        {repo.relative(path): data for path, data in kept.files.items()},
        {repo.relative(path): data for path, data in changed.items()},
        {
            repo.relative(output.path): None
            if info is None
            else (info.md5, info.size, info.nfiles, info.isexec)
            for output, info in kept.outputs
        },
    )


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def keep(repo: DataRepository, files: Iterable[Path]) -> Kept:
    """Return what is there now; outputs enter the cache."""
    outputs = list_outputs(repo)
    small = {*files, *(path.with_name(LOCK_FILE) for path in find_definitions(repo))}
    small |= set(find_pointer_files(repo))  # a run records what changed in them
    small |= {output.path.parent / ".gitignore" for output in outputs}
    return Kept(
        {path: _content(path) for path in sorted(small)},
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
