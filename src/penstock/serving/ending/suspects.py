"""Which versions may have ended processes: the next process loads them last, apart and alone, or not at all.

Processes on one port keep in a file of the folder they share how each ended, and what it was about then (`underway`). A
stable version that answered is no suspect: leaving it out would end what it does for everybody else. What follows of it
is in `suspicion`; who acts on it is `penstock.processes.loading.careful`; what is held against a version,
`penstock.flows.production.controlling.unloadable`.

Format of the file: a line of JSON for each process that ended, `Ended`. What is no such line was never finished, and says nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from penstock.base.clock import now_ms
from penstock.base.numbers import counted
from penstock.serving.deployments import Revision
from penstock.serving.ending.suspicion import At, Ended, Suspicion, judge
from penstock.serving.ending.underway import CALLERS, LOADING, Cut, End

logger = logging.getLogger(__name__)
NAME = "ended.jsonl"


class Suspects:
    """What is known of ended processes. A process alone, without a folder, knows of none. Thread-safe."""

    def __init__(self, folder: str | None) -> None:
        self._path = None if folder is None else Path(folder) / NAME
        self._known: tuple[int, tuple[Ended, ...]] = (0, ())
        self._is_told = False
        self.look()

    def look(self) -> None:
        """Read what other processes noted."""
        if self._path is None:
            return
        with contextlib.suppress(FileNotFoundError):
            size_bytes = self._path.stat().st_size
            if size_bytes != self._known[0]:
                self._known = (size_bytes, tuple(_ends_in(self._path.read_bytes()[:size_bytes])))

    def note(self, end: End, current: Mapping[str, Revision]) -> None:
        """Note a process that ended in the middle.

        Args:
            current: every endpoint's revision.
        """
        self._add(end.was_killed, [_at(cut, current.get(cut.endpoint)) for cut in end.cuts])

    def note_apart(self, endpoint: str, version: int, *, was_killed: bool) -> None:
        """Note a process that did nothing but load a version, and ended."""
        self._add(was_killed, [At(endpoint=endpoint, version=version, is_suspect=True, is_loading=True)])

    def of(self, revision: Revision, versions: Iterable[int]) -> dict[int, Suspicion]:
        """Return which of the versions that a revision is served with are suspects since it was made."""
        known = self._known[1]
        found = {one: judge(revision, one, known) for one in dict.fromkeys(versions)} if known else {}
        return {version: one for version, one in found.items() if one is not None}

    def _add(self, was_killed: bool, at: Iterable[At]) -> None:
        found = Ended(time_ms=now_ms(), was_killed=was_killed, at=tuple(at))
        if self._path is None or not found.at:
            return
        try:
            _append(self._path, msgspec.json.encode(found) + b"\n")
        except OSError as error:  # of a full disk: to serve matters more than to remember
            if not self._is_told:
                logger.warning("which versions ended processes is not kept: %s", error.strerror)
            self._is_told = True
        self.look()


def words_of(version: int, suspicion: Suspicion) -> str:
    """Return why a version is not loaded now."""
    ended = counted(suspicion.end_count, "process ended", "processes ended")
    return f"{ended} while version {version} was loaded or predicted"


def _at(cut: Cut, revision: Revision | None) -> At:
    is_stable = revision is not None and cut.number == revision.stable
    is_suspect = cut.kind == LOADING or not (cut.kind == CALLERS and is_stable)
    return At(
        endpoint=cut.endpoint, version=cut.number, is_suspect=is_suspect, is_loading=cut.kind == LOADING
    )


def _ends_in(data: bytes) -> Iterator[Ended]:
    for line in data.splitlines():
        with contextlib.suppress(msgspec.DecodeError):  # see the format
            yield msgspec.json.decode(line, type=Ended)


def _append(path: Path, line: bytes) -> None:
    """Write a line in one piece, so that processes do not mix theirs, apart from one that was never finished."""
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
