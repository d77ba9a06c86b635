"""Connections on which nobody asks: ended when that lasts too long, and the longest first when there are too many.

uvicorn ends a connection that rests after an answer. One on which a whole request never comes it keeps for ever, so that
whoever opens enough of them keeps everybody else out.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import msgspec

from penstock.base.numbers import counted

logger = logging.getLogger(__name__)
MOST = 10_000
RESERVED_FILES = 256
"""Open files that are not connections: the store's, models', logs."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """So long a connection may rest, so long a request may take to arrive (None: any time), so many there may be."""

    rest_s: float = 75.0
    arrival_s: float | None = None
    most: int = MOST


class Resting:
    """Looks at the connections of one server. Only the loop's thread calls it."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._since: dict[Any, tuple[object, float]] = {}
        """The last request on each connection that waits for its client, and since when it does."""

    def look(self, connections: Collection[Any], now_s: float) -> None:
        """End what has rested for too long, what takes too long to arrive, and the longest of too many."""
        before, self._since = self._since, {}
        late = 0
        for one in connections:
            cycle = one.cycle
            is_held = getattr(one, "is_held", False)
            is_arriving = is_held or (cycle is not None and not cycle.response_complete)
            if is_arriving and not is_held and not cycle.more_body:
                continue  # it waits for us
            limit_s = self.patience.arrival_s if is_arriving else self.patience.rest_s
            known = before.get(one)
            request = (cycle, getattr(one, "answered_count", 0), is_held)
            since_s = known[1] if known is not None and known[0] == request else now_s
            if limit_s is None or now_s - since_s <= limit_s:
                self._since[one] = (request, since_s)
            elif is_arriving:
                late += 1
                one.transport.abort()
            else:
                one.transport.close()
        if late:
            logger.warning(
                "%s did not arrive within %g s, and will not be waited for",
                counted(late, "request"),
                self.patience.arrival_s,
            )
        if len(connections) > self.patience.most:
            self._make_room(len(connections))

    def _make_room(self, count: int) -> None:
        """End those that have rested longest."""
        resting = [
            one
            for one in self._since
            if (one.cycle is None or one.cycle.response_complete) and not getattr(one, "is_held", False)
        ]
        longest = sorted(resting, key=lambda one: self._since[one][1])[: count - self.patience.most]
        for one in longest:
            del self._since[one]
            one.transport.close()
        logger.warning("%d connections are open: the %d that rested longest were ended", count, len(longest))
