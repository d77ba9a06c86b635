"""DVC's lock on paths, `.dvc/tmp/rwlock`: what a running stage reads and writes is left alone.

The repository's lock is not held while a stage's command runs, DVC's or ours; only these entries remain. Entries of
dead processes are passed over, and go with the next change of the file.

Source: dvc/rwlock.py (3.67).
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from penstock.base.errors import Conflict, Corrupt
from penstock.base.files import locked, write_atomic
from penstock.base.running import is_running
from penstock.data.repository import DataRepository

WAIT_S = 30.0
_HINT = "wait until the other dvc or penstock command ends, then run this one again"


class _Entry(NamedTuple):
    is_write: bool
    path: str
    pid: int
    command: str


def check_writable(repo: DataRepository, paths: Iterable[Path]) -> None:
    """Make sure that no other process works on these paths, or on one around or inside them.

    The caller holds the repository lock.

    Raises:
        Conflict: one does; its process id and command are named.
        Corrupt: the file cannot be understood.
    """
    check_free(repo, (), paths)


def check_free(repo: DataRepository, reads: Iterable[Path], writes: Iterable[Path]) -> None:
    """Make sure that nobody else writes what is to be read, nor reads or writes what is to be written.

    Raises:
        Conflict, Corrupt: as `check_writable`.
    """
    file = _file(repo)
    if not file.exists():
        return
    with locked(file.with_name("rwlock.lock"), wait_s=WAIT_S, holder_hint=_HINT):
        entries = _load(file)
    if entries:
        _check(entries, reads, writes)


@contextmanager
def in_use(
    repo: DataRepository, reads: Iterable[Path], writes: Iterable[Path], command: str
) -> Iterator[None]:
    """Tell other processes for the block what this one reads and writes.

    Args:
        command: what others are told is running.

    Raises:
        Conflict, Corrupt: as `check_writable`.
    """
    ours = [
        _Entry(is_write, os.path.abspath(path), os.getpid(), command)
        for is_write, paths in ((False, reads), (True, writes))
        for path in paths
    ]

    def enter(entries: list[_Entry]) -> list[_Entry]:
        _check(
            entries,
            [Path(one.path) for one in ours if not one.is_write],
            [Path(one.path) for one in ours if one.is_write],
        )
        return [*(one for one in entries if one.pid == os.getpid() or is_running(one.pid)), *ours]

    _change(_file(repo), enter)
    try:
        yield
    finally:
        _change(_file(repo), lambda entries: [one for one in entries if one not in ours])


def _file(repo: DataRepository) -> Path:
    return repo.dvc_dir / "tmp" / "rwlock"


def _check(entries: list[_Entry], reads: Iterable[Path], writes: Iterable[Path]) -> None:
    wanted_writes = [os.path.abspath(path) for path in writes]
    wanted = [os.path.abspath(path) for path in reads] + wanted_writes
    for held in entries:
        paths = wanted if held.is_write else wanted_writes
        path = next((path for path in paths if _overlap(path, held.path)), None)
        if path is not None and held.pid != os.getpid() and is_running(held.pid):
            raise Conflict(
                f"{path} is in use by process {held.pid}: {held.command}",
                code="data.path_in_use",
                hint=f"wait until process {held.pid} ends, then run this command again",
                path=path,
                pid=held.pid,
                cmd=held.command,
            )


def _change(file: Path, change: Callable[[list[_Entry]], list[_Entry]]) -> None:
    with locked(file.with_name("rwlock.lock"), wait_s=WAIT_S, holder_hint=_HINT):
        entries = change(_load(file))
        document: dict[str, dict[str, Any]] = {}
        for one in entries:
            info = {"pid": one.pid, "cmd": one.command}
            if one.is_write:
                document.setdefault("write", {})[one.path] = info
            else:
                document.setdefault("read", {}).setdefault(one.path, []).append(info)
        _write(file, json.dumps(document).encode())


def _write(file: Path, data: bytes) -> None:
    """Replace the file's content, in place where there is one.

    A kill leaves the old or the new: both are written in one call, the new with blanks up to the length of the old.
    Renaming over a file costs ext4 4 ms, and every stage changes this one twice.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        write_atomic(file, data, durable=False)
        return
    try:
        if os.pwrite(descriptor, data.ljust(os.fstat(descriptor).st_size), 0) < len(data):
            write_atomic(file, data, durable=False)  # as on a full disk, which then says so
            return
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def _load(file: Path) -> list[_Entry]:
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    return list(_entries(text, str(file)))


def _entries(text: str, file: str) -> Iterator[_Entry]:
    if not text.strip():
        return
    try:
        document: dict[str, dict[str, Any]] = json.loads(text)
        for kind in ("write", "read"):
            for path, held in document.get(kind, {}).items():
                for info in held if isinstance(held, list) else [held]:
                    if info:
                        yield _Entry(kind == "write", path, int(info["pid"]), str(info["cmd"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Corrupt(
            f"{file} is not a lock file of DVC's",
            code="data.bad_rwlock",
            hint=f"when no dvc command runs: rm {shlex.quote(file)}",
            path=file,
        ) from None


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
