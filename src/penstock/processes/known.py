"""Whether the store still knows what a process serves: it may have become empty, another or an older one.

Nothing takes an endpoint out of a store, so one that is missing says something of the store, not of the endpoint. What is
served is served further until the store knows it again, or somebody has made another decision on this store since.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType

import sqlalchemy as sa

from penstock.base.clock import format_ms, now_ms
from penstock.serving.deployments import Revision, find_revision

logger = logging.getLogger(__name__)


def is_same(one: Revision, other: Revision) -> bool:
    """Whether two revisions are one and the same decision: a number alone means another in another store."""
    return _identity(one) == _identity(other)


def _identity(one: Revision) -> tuple[object, ...]:
    return (one.endpoint_id, one.number, one.created_ms, one.model, one.canary, one.versions)


class KnownRevisions:
    """What of the served revisions the store does not know, and since when. One thread at a time looks."""

    def __init__(self) -> None:
        self._since_ms: dict[str, int] = {}
        self.unknown: Mapping[str, str] = MappingProxyType({})
        """Why the store does not know what is served, by endpoint."""

    def look(
        self, connection: sa.Connection, served: Mapping[str, Revision], current: Mapping[str, Revision]
    ) -> frozenset[str]:
        """Compare what is served with what the store says; return the endpoints that it knows again.

        A revision that was made in the store after it was seen not to know an endpoint is a decision on it, and is followed.
        """
        before, found = self.unknown, {}
        for name, mine in served.items():
            why = self._why_unknown(connection, mine, current.get(name))
            if why:
                found[name] = why
                self._since_ms.setdefault(name, now_ms())
                if name not in before:
                    logger.error(
                        "%s#%s is served further, the store is not followed: %s", name, mine.number, why
                    )
        again = frozenset(before) - found.keys()
        for name in again:
            del self._since_ms[name]
            logger.warning("%s: the store is followed again", name)
        self.unknown = MappingProxyType(found)
        return again

    def _why_unknown(self, connection: sa.Connection, mine: Revision, current: Revision | None) -> str:
        served = f"revision {mine.number} of {format_ms(mine.created_ms)}, which is served"
        if current is None:
            return f"the store does not know the endpoint: it is empty, another or an older one than had {served}"
        since_ms = self._since_ms.get(mine.endpoint)
        if is_same(mine, current) or (since_ms is not None and current.created_ms > since_ms):
            return ""
        if current.number > mine.number:
            recorded = find_revision(connection, mine.endpoint, mine.number)
            if recorded is not None and is_same(mine, recorded):
                return ""
        return f"the store has revision {current.number} and does not know {served}: it is another or an older one"
