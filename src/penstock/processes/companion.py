"""The role of a server of another protocol beside the HTTP server of a serve process."""

from __future__ import annotations

from typing import Protocol


class Companion(Protocol):
    """A server of another protocol on the loop of the HTTP server; `port` is known when it has started."""

    port: int

    @property
    def is_started(self) -> bool:
        """Whether it answers."""
        ...

    async def start(self, most: int) -> None:
        """Listen, and take so many connections at most.

        Raises:
            Conflict: the port is in use.
        """
        ...

    async def stop(self, grace_s: float) -> None:
        """Take no further requests and give those under way their time."""
        ...
