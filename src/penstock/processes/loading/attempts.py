"""When a revision that could not be served is tried again: soon at first, then ever more seldom."""

from __future__ import annotations

import time
from dataclasses import dataclass

from penstock.serving.traffic import Rule

RETRY_S, RETRY_MAX_S = 5.0, 60.0
"""What failed is tried again after this long, twice as long each time, and at least as often as the second says."""
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

    def is_due(self, endpoint: str, what: What) -> bool:
        """Whether to try: nothing was tried, something else was, or it failed long enough ago."""
        last = self._last.get(endpoint)
        return last is None or last.what != what or time.monotonic() >= last.again_s

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
        return not is_same

    def forget_success(self, endpoint: str) -> None:
        """Try an endpoint again at once that was served, and is served no more."""
        last = self._last.get(endpoint)
        if last is not None and not last.message:
            del self._last[endpoint]

    def forget(self, endpoint: str) -> None:
        """Try an endpoint again at once."""
        self._last.pop(endpoint, None)
