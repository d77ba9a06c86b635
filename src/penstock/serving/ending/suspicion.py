"""What ended processes say of a version: whether it is to be left out, and whether nothing but it explains that they ended."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from penstock.base.clock import now_ms
from penstock.serving.deployments import Revision

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
    is_loading: bool = False


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A process that ended in the middle."""

    time_ms: int
    was_killed: bool
    at: tuple[At, ...]

    def has(self, endpoint: str, version: int) -> bool:
        """Whether a version is a suspect."""
        return any((one.endpoint, one.version) == (endpoint, version) and one.is_suspect for one in self.at)

    def is_sole(self, endpoint: str, version: int) -> bool:
        """Whether a version is the only suspect."""
        return {(one.endpoint, one.version) for one in self.at if one.is_suspect} == {(endpoint, version)}

    def only_loaded(self, endpoint: str, version: int) -> bool:
        """Whether a version did nothing but be loaded."""
        return all(one.is_loading for one in self.at if (one.endpoint, one.version) == (endpoint, version))

    def versions_of(self, endpoint: str) -> set[int]:
        """Return which versions of an endpoint were at work."""
        return {one.version for one in self.at if one.endpoint == endpoint}


class Suspicion(NamedTuple):
    """How many processes ended at a version, when the last did, and whether nothing but the version explains that.

    Of `end_count`, `sole_count` had no other suspect; `held_count` leave it out: those, and what ended while it predicted.
    What it was only loaded beside others in is not held against it, since a process apart tells at no cost.
    """

    end_count: int
    sole_count: int
    held_count: int
    last_ms: int
    is_proven: bool

    @property
    def apart_s(self) -> float:
        """So long after the last end it is left out."""
        return _apart_s(self.held_count)

    @property
    def is_barred(self) -> bool:
        """Whether it is left out now."""
        return now_ms() < self.last_ms + 1000 * self.apart_s


def judge(revision: Revision, version: int, known: Sequence[Ended]) -> Suspicion | None:
    """Return what is held against a version since its revision was made; None where no process ended at it.

    It explains alone that they ended where two did at it and at no other suspect, by themselves (nobody killed them), and
    none ended by itself that was about other versions of the endpoint: since the revision was made, or of the stable
    version alone before. If that was at work each time, it must have lived for as long as the other was left out once.

    Args:
        known: what ended, in the order of time.
    """
    name, since_ms = revision.endpoint, now_ms() - COUNTED_MS
    about = [one for one in known if one.time_ms >= since_ms and one.versions_of(name)]
    ends = [one for one in about if one.time_ms >= revision.created_ms]
    mine = [one for one in ends if one.has(name, version)]
    if not mine:
        return None
    sole = [one for one in mine if one.is_sole(name, version)]
    held = [one for one in mine if one.is_sole(name, version) or not one.only_loaded(name, version)]
    alone = [one for one in sole if not one.was_killed]
    before = [
        one
        for one in about
        if one.time_ms < revision.created_ms and one.versions_of(name) == {revision.stable}
    ]
    others = before if version != revision.stable else []
    is_explained = all(version in one.versions_of(name) for one in (*others, *ends) if not one.was_killed)
    is_alike = version != revision.stable and all(revision.stable in one.versions_of(name) for one in alone)
    is_proven = len(alone) >= ENDS_MIN and is_explained and not (is_alike and not _was_quiet(ends, held))
    return Suspicion(len(mine), len(sole), len(held), max(one.time_ms for one in mine), is_proven)


def _was_quiet(ends: Sequence[Ended], held: Sequence[Ended]) -> bool:
    """Whether no process of the endpoint ended for as long as a version was left out once."""
    times_ms = [one.time_ms for one in ends]
    counts = [sum(one.time_ms <= time_ms for one in held) for time_ms in times_ms]
    return any(
        count >= ENDS_MIN and later_ms - earlier_ms >= 1000 * _apart_s(count)
        for (earlier_ms, later_ms), count in zip(pairwise(times_ms), counts, strict=False)
    )


def _apart_s(held_count: int) -> float:
    return 0.0 if held_count < ENDS_MIN else APART_S * 2.0 ** min(held_count - ENDS_MIN, 7)
