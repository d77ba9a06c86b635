"""A connection to PostgreSQL that does not wait for a server which has hung: one that is stopped, or cut off from here.

The server's own limits end nothing then, and a stopped server's kernel still answers TCP, so keepalives see nothing
either. A statement that has heard nothing for a while therefore asks whether the server takes another connection. One
that works for long takes them, and is waited for as long as it works: migrations, copies and exports are not cut.
It is imported by `database` alone, and only where a store is PostgreSQL's, since the driver takes time to load.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, Self

import psycopg

CONNECT_S = 10
"""So long a server may take to accept a connection, unless its URL says `connect_timeout`."""
SILENT_S = 10.0
"""After so long without a word of the server it is asked whether it takes another connection."""
PROBE_S = 5
KEPT_ALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""What ends a connection that a network forgot, while the server is well."""


class HeardConnection(psycopg.Connection[Any]):
    """A connection that tells when its server has hung. `read_limit_s` bounds the silence in a transaction that reads."""

    read_limit_s: float | None = None
    _parameters: dict[str, Any]

    @classmethod
    def open(cls, parameters: dict[str, Any]) -> Self:
        """Connect with SQLAlchemy's parameters of a URL."""
        asked = {"connect_timeout": CONNECT_S, **KEPT_ALIVE, **parameters}
        made = cls.connect(**asked)
        made._parameters = asked
        return made

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **options: Any) -> Any:
        """Wait for the server as psycopg does, as long as it is heard.

        Raises:
            psycopg.OperationalError: it has hung; the connection is closed.
        """
        return super().wait(self._heard(gen), *arguments, **options)

    def _heard(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Pass on what a generator of psycopg waits for and what came; nothing comes each 0.1 s where nothing is heard."""
        try:
            wanted = next(gen)
            heard_s = time.monotonic()
            due_s = heard_s + SILENT_S
            while True:
                ready = yield wanted
                now_s = time.monotonic()
                if ready:
                    heard_s, due_s = now_s, now_s + SILENT_S
                elif self.read_limit_s is not None and now_s > heard_s + self.read_limit_s:
                    raise self._hung(f"nothing came for {now_s - heard_s:.0f} s")
                elif now_s > due_s:
                    self._require_life(now_s - heard_s)
                    due_s = time.monotonic() + SILENT_S
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value

    def _require_life(self, silent_s: float) -> None:
        """Make sure that the server takes another connection, or refuses one: a hung one does neither."""
        try:
            psycopg.connect(**{**self._parameters, "connect_timeout": PROBE_S}).close()
        except psycopg.errors.ConnectionTimeout:
            raise self._hung(f"nothing came for {silent_s:.0f} s, and it takes no other connection") from None
        except psycopg.Error:
            return  # an answer, such as that there are too many connections

    def _hung(self, why: str) -> psycopg.OperationalError:
        self.pgconn.finish()
        return psycopg.OperationalError(f"the server has hung: {why}")
