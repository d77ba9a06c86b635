"""What a serve process is about, where the next one finds it when this one ends in the middle: a killed process tells nobody.

Processes on one port keep it in files of a folder they share. A model that ends its process (memory, a crash of
its library, an exit) is known by it afterwards: its predictions count as errors of its version, and it is not
loaded beside others again (`suspects`).

Format of a file: `process id int64, status int64`, then 256 entries of `kind int64, version int64, count int64, endpoint
136 bytes UTF-8 padded with zeros`. An entry whose kind is 0, and those after it, are free. Of kind 1 and 2, predictions for
callers and for shadows, `count` is how many requests are predicted now; of kind 3, loading, 1 while the version is loaded.
`status` is how the process ended, as `waitpid` says it, written by who supervises it; `RUNNING` until then.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.base.running import is_running

CALLERS, SHADOWS, LOADING = 1, 2, 3
ENTRIES, NAME_BYTES, SUFFIX = 256, 136, ".underway"
RUNNING = -1
_HEAD = struct.Struct("<2q")
_ENTRY = struct.Struct(f"<3q{NAME_BYTES}s")
_COUNT_AT = 16
Key = tuple[int, str, int]


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What an ended process was about: `count` requests that a version was predicting, or that it was loaded."""

    kind: int
    endpoint: str
    number: int
    count: int = 0


class End(NamedTuple):
    """A process that ended in the middle: how, as `waitpid` says it, and what it was about."""

    status: int
    cuts: list[Cut]

    @property
    def was_killed(self) -> bool:
        """Whether somebody killed it, as a system without memory does: that says nothing of what it was about."""
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL


class Underway:
    """What this process is about. Every count belongs to one thread at a time.

    Args:
        folder: where the processes on one port share it; None for a process alone, after which nobody looks.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self._cells: dict[Key, memoryview[int]] = {}
        self._free: list[int] = []
        self._lock = threading.Lock()
        size = _HEAD.size + ENTRIES * _ENTRY.size
        if self._folder is None:
            self._memory = memoryview(bytearray(size))
        else:
            with _place(self._folder, os.getpid()).open("w+b") as file:
                file.truncate(size)
                self._memory = memoryview(mmap.mmap(file.fileno(), size))
        self._taken_bytes = _HEAD.size
        _HEAD.pack_into(self._memory, 0, os.getpid(), RUNNING)

    def predicting(self, endpoint: str, version: int, *, is_shadow: bool) -> memoryview[int]:
        """Return the place of the count of requests that a version predicts now."""
        key = (SHADOWS if is_shadow else CALLERS, endpoint, version)
        found = self._cells.get(key)
        if found is None:
            found = self._cells[key] = self._begin(*key)[0]
        return found

    @contextmanager
    def loading(self, endpoint: str, version: int) -> Iterator[None]:
        """Say that a version is loaded meanwhile. What ends with an error has ended no process."""
        cell, at = self._begin(LOADING, endpoint, version)
        cell[0] = 1
        try:
            yield
        finally:
            cell[0] = 0
            if at is not None:
                with self._lock:
                    self._free.append(at)

    def take_over(self) -> list[End]:
        """Return the processes that ended in the middle, each to one process only, once it is known how they did."""
        found = []
        for path in [] if self._folder is None else list(self._folder.glob(f"*{SUFFIX}")):
            with contextlib.suppress(FileNotFoundError):  # another process was first
                if is_running(int(path.stem)) or _HEAD.unpack(path.read_bytes()[: _HEAD.size])[1] == RUNNING:
                    continue
                claimed = path.with_suffix(f".taken-{os.getpid()}")
                path.rename(claimed)
                found.append(_read(claimed.read_bytes()))
                claimed.unlink()
        return found

    def close(self) -> None:
        """Leave nothing behind: this process ends in order."""
        if self._folder is not None:
            _place(self._folder, os.getpid()).unlink(missing_ok=True)

    def _begin(self, kind: int, endpoint: str, number: int) -> tuple[memoryview[int], int | None]:
        """Return the count of a new entry and where it is: shared while there is room for it and its name."""
        name = endpoint.encode()
        with self._lock:
            at = self._free.pop() if self._free and kind == LOADING else self._taken_bytes
            if len(name) > NAME_BYTES or at + _ENTRY.size > len(self._memory):
                return memoryview(bytearray(8)).cast("q"), None
            self._taken_bytes = max(self._taken_bytes, at + _ENTRY.size)
            struct.pack_into(f"<2q{NAME_BYTES}s", self._memory, at + 8, number, 0, name)
            struct.pack_into("<q", self._memory, at, kind)  # last: from now on others read it
        return self._memory[at + _COUNT_AT : at + _COUNT_AT + 8].cast("q"), at


def was_cut_off(folder: str, pid: int) -> bool:
    """Say whether a process ended in the middle of its work: it had begun, and did not end in order."""
    return _place(Path(folder), pid).exists()


def note_end(folder: str, pid: int, status: int) -> None:
    """Write how a process ended where the next one finds what it was about. Of one that ended in order there is nothing."""
    with contextlib.suppress(FileNotFoundError), _place(Path(folder), pid).open("r+b") as file:
        file.write(_HEAD.pack(pid, status))


def _place(folder: Path, pid: int) -> Path:
    return folder / f"{pid}{SUFFIX}"


def _read(data: bytes) -> End:
    found = []
    _, status = _HEAD.unpack(data[: _HEAD.size])
    whole = len(data) - (len(data) - _HEAD.size) % _ENTRY.size
    for kind, number, count, name in _ENTRY.iter_unpack(data[_HEAD.size : whole]):
        if not kind:
            break
        if count > 0:
            found.append(Cut(kind=kind, endpoint=name.rstrip(b"\0").decode(), number=number, count=count))
    return End(status, found)
