"""When a revision that could not be served is tried again: soon at first, then ever more seldom."""

from __future__ import annotations

import time
from dataclasses import dataclass

from penstock.serving.traffic import Rule

RETRY_S, RETRY_MAX_S = 5.0, 60.0
"""What failed is tried again after this long, twice as long each time, and at least as often as the second says."""
ALONE_S, ALONE_MAX_S = 30.0, 3600.0
"""The same of what ended processes while it was loaded, twice as long each time after the second: others suffer from it."""
What = tuple[int, tuple[Rule, ...]]
"""A revision's number and the rules of its endpoint."""


@dataclass
class _Attempt:
    what: What
    message: str
    wait_s: float
    again_s: float


class Attempts:
    """The last attempt on each endpoint. Not thread-safe."""

    def __init__(self) -> None:
        self._last: dict[str, _Attempt] = {}
        self._ended: dict[tuple[str, int], tuple[int, float]] = {}

    def is_due(self, endpoint: str, what: What) -> bool:
        """Whether to try: nothing was tried, something else was, or it failed long enough ago."""
        _, alone_s = self._ended.get((endpoint, what[0]), (0, 0.0))
        if time.monotonic() < alone_s:
            return False
        last = self._last.get(endpoint)
        return last is None or last.what != what or time.monotonic() >= last.again_s

    @property
    def suspect_count(self) -> int:
        """How many revisions may have ended a process while they were loaded."""
        return len(self._ended)

    def ended(self, endpoint: str, revision: int) -> int:
        """Return how many processes ended while a revision was loaded."""
        return self._ended.get((endpoint, revision), (0, 0.0))[0]

    def note_ended(self, endpoint: str, revision: int, count: int) -> float:
        """Note that so many processes ended while a revision was loaded; return after how long it is tried again.

        The first time it may have been another's fault, or a kill: it is tried at once.
        """
        wait_s = 0.0 if count < 2 else min(ALONE_S * 2.0 ** (count - 2), ALONE_MAX_S)
        self._ended[endpoint, revision] = (count, time.monotonic() + wait_s)
        return wait_s

    def was_made(self, endpoint: str, revision: int) -> bool:
        """Whether the last attempt was on this revision."""
        last = self._last.get(endpoint)
        return last is not None and last.what[0] == revision

    def note(self, endpoint: str, what: What, failure: str) -> bool:
        """Note an attempt and why it failed, "" if it did not; return whether this is another end than the last one's."""
        last = self._last.get(endpoint)
        is_same = last is not None and (last.what, last.message) == (what, failure)
        wait_s = min(2 * last.wait_s, RETRY_MAX_S) if last is not None and is_same else RETRY_S
        again_s = time.monotonic() + wait_s if failure else float("inf")
        self._last[endpoint] = _Attempt(what, failure, wait_s, again_s)
        self._ended.pop((endpoint, what[0]), None)
        return not is_same

    def forget_success(self, endpoint: str) -> None:
        """Try an endpoint again at once that was served, and is served no more."""
        last = self._last.get(endpoint)
        if last is not None and not last.message:
            del self._last[endpoint]

    def forget(self, endpoint: str) -> None:
        """Try an endpoint again at once."""
        self._last.pop(endpoint, None)
        for key in [one for one in self._ended if one[0] == endpoint]:
            del self._ended[key]
