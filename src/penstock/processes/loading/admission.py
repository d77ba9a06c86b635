"""Which versions of a revision a serve process asks for before they answer, and what is told of them.

A revision that the process finds at its start may have answered elsewhere before, and goes on; one that comes later is new
to it, however soon another host took it over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from penstock.serving.deployments import Revision

logger = logging.getLogger(__name__)
Admit = Callable[[str, int, tuple[str, int] | None], str]
"""Lets a version answer in an endpoint's revision that is new, if one is named; returns what there is to tell."""


def joined(*sentences: str) -> str:
    """Return those of the sentences that say something as one."""
    return "; ".join(one for one in sentences if one)


class Admission:
    """What a process found when it began, and what it was told of what it took over since. `ask` is thread-safe."""

    def __init__(self, admit: Admit) -> None:
        self._admit = admit
        self._found: dict[str, int] | None = None
        self._told: dict[str, str] = {}

    def begin(self, current: Sequence[Revision]) -> None:
        """Note the revisions that the process found at its start; later calls note nothing."""
        if self._found is None:
            self._found = {one.endpoint: one.number for one in current}

    def ask(self, revision: Revision) -> str:
        """Let the versions that answer in a revision do so; return what there is to tell of them.

        Raises:
            PenstockError: one of them may not, or that cannot be told now.
        """
        known = (self._found or {}).get(revision.endpoint, 0)
        new = (revision.endpoint, revision.number) if revision.number > known else None
        return joined(*(self._admit(revision.model, version, new) for version in revision.answering))

    def note(self, revision: Revision, told: str) -> None:
        """Note that a revision was taken over, and what was told of it."""
        self.begin(())
        if self._found is not None:
            self._found[revision.endpoint] = max(revision.number, self._found.get(revision.endpoint, 0))
        if told and self._told.get(revision.endpoint) != told:
            logger.warning("%s#%s: %s", revision.endpoint, revision.number, told)
        self._told[revision.endpoint] = told

    def told(self, endpoint: str) -> str:
        """Return what was told of what an endpoint serves; empty for nothing."""
        return self._told.get(endpoint, "")
