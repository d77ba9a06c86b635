"""Which versions may have ended processes: the next process loads them last, apart and alone, or not at all.

Processes on one port keep in a file of the folder they share how each ended, and what it was about then (`underway`). A
stable version that answered is no suspect: leaving it out would end what it does for everybody else. Who acts on it is
`penstock.processes.loading.careful`; what is held against a version, `penstock.flows.production.controlling.unloadable`.

Format of the file: a line of JSON for each process that ended, `Ended`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.base.clock import now_ms
from penstock.base.numbers import counted
from penstock.serving.deployments import Revision
from penstock.serving.ending.underway import CALLERS, LOADING, Cut, End

NAME = "ended.jsonl"
COUNTED_MS = 3_600_000
"""What ended longer ago says nothing any more."""
ENDS_MIN = 2
"""The first time it may have been another's fault. After so many a version is left out for a while."""
APART_S = 30.0
"""For so long then, and twice as long each time more: others suffer from it."""


class At(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a process was about when it ended, as a suspect or as the stable one that answered."""

    endpoint: str
    version: int
    is_suspect: bool


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A process that ended in the middle."""

    time_ms: int
    was_killed: bool
    at: tuple[At, ...]

    def has(self, endpoint: str, version: int) -> bool:
        """Whether a version is a suspect."""
        return any((one.endpoint, one.version) == (endpoint, version) and one.is_suspect for one in self.at)

    def is_about(self, endpoint: str, version: int | None = None) -> bool:
        """Whether a version of an endpoint was at work, or any."""
        return any(one.endpoint == endpoint and version in {None, one.version} for one in self.at)

    @property
    def suspect_count(self) -> int:
        """How many versions may have done it."""
        return len({(one.endpoint, one.version) for one in self.at if one.is_suspect})


class Suspicion(NamedTuple):
    """How many processes ended at a version, when the last did, and whether nothing but the version explains that.

    It explains it alone where two ended at it and at no other suspect, by themselves (nobody killed them), and none
    of those ended by itself that were about other versions of the endpoint.
    """

    end_count: int
    last_ms: int
    is_proven: bool

    @property
    def apart_s(self) -> float:
        """So long after the last end it is left out."""
        return 0.0 if self.end_count < ENDS_MIN else APART_S * 2.0 ** min(self.end_count - ENDS_MIN, 7)

    @property
    def is_barred(self) -> bool:
        """Whether it is left out now."""
        return now_ms() < self.last_ms + 1000 * self.apart_s


class Suspects:
    """What is known of ended processes. A process alone, without a folder, knows of none. Thread-safe."""

    def __init__(self, folder: str | None) -> None:
        self._path = None if folder is None else Path(folder) / NAME
        self._known: tuple[int, tuple[Ended, ...]] = (0, ())
        self.look()

    def look(self) -> None:
        """Read what other processes noted."""
        if self._path is None:
            return
        with contextlib.suppress(FileNotFoundError):
            size_bytes = self._path.stat().st_size
            if size_bytes != self._known[0]:
                lines = self._path.read_bytes()[:size_bytes].splitlines()
                self._known = (size_bytes, tuple(msgspec.json.decode(one, type=Ended) for one in lines))

    def note(self, end: End, current: Mapping[str, Revision]) -> None:
        """Note a process that ended in the middle.

        Args:
            current: every endpoint's revision.
        """
        self._add(end.was_killed, [_at(cut, current.get(cut.endpoint)) for cut in end.cuts])

    def note_apart(self, endpoint: str, version: int, *, was_killed: bool) -> None:
        """Note a process that did nothing but load a version, and ended."""
        self._add(was_killed, [At(endpoint=endpoint, version=version, is_suspect=True)])

    def of(self, revision: Revision, versions: Iterable[int]) -> dict[int, Suspicion]:
        """Return which of the versions that a revision is served with are suspects since it was made."""
        if not self._known[1]:
            return {}
        since_ms = max(revision.created_ms, now_ms() - COUNTED_MS)
        name = revision.endpoint
        ends = [one for one in self._known[1] if one.time_ms >= since_ms and one.is_about(name)]
        found = {}
        for version in dict.fromkeys(versions):
            mine = [one for one in ends if one.has(name, version)]
            if not mine:
                continue
            alone = [one for one in mine if not one.was_killed and one.suspect_count == 1]
            is_explained = all(one.is_about(name, version) for one in ends if not one.was_killed)
            last_ms = max(one.time_ms for one in mine)
            found[version] = Suspicion(len(mine), last_ms, len(alone) >= ENDS_MIN and is_explained)
        return found

    def _add(self, was_killed: bool, at: Iterable[At]) -> None:
        found = Ended(time_ms=now_ms(), was_killed=was_killed, at=tuple(at))
        if self._path is not None and found.at:
            with self._path.open("ab") as file:  # in one piece, so that processes do not mix their lines
                file.write(msgspec.json.encode(found) + b"\n")
            self.look()


def words_of(version: int, suspicion: Suspicion) -> str:
    """Return why a version is not loaded now."""
    ended = counted(suspicion.end_count, "process ended", "processes ended")
    return f"{ended} while version {version} was loaded or predicted"


def _at(cut: Cut, revision: Revision | None) -> At:
    is_stable = revision is not None and cut.number == revision.stable
    is_suspect = cut.kind == LOADING or not (cut.kind == CALLERS and is_stable)
    return At(endpoint=cut.endpoint, version=cut.number, is_suspect=is_suspect)
