"""What uvicorn's HTTP/1.1 leaves open on a connection: how long a head may be, offers to speak HTTP/2, whole URLs, its end.

uvicorn closes a connection that rests as soon as the server is to end, also where a request lies in the socket unread: its
client would find the connection reset, and could not tell whether it was answered. Here it is read and answered first.

Not when a connection has rested for too long; that is `resting`.
"""

from __future__ import annotations

import asyncio
import re
import select
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_BYTES = 1 << 20
"""So much may come before it is a request, or part of its body: a client that sends headers without end has no body."""
SOUGHT_BYTES = 4096
GRACE_S = 0.25
"""So long a connection that rests is kept when the server ends, for a request that is on its way."""
LOOK_S, LOOKS = 0.01, 100
"""What lies unread after that, as the loop was busy, is waited for so often and each time for so long."""
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n)", re.IGNORECASE)
_WHOLE_URL = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class WireProtocol(HttpToolsProtocol):
    """One connection.

    The parser takes a request that offers another protocol to have no body, so that the first request of clients which
    offer HTTP/2, as Java's and `curl --http2` do, would come without. No such offer is accepted here, so none is read.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._loose_bytes = 0
        self._ends_s: float | None = None
        """Until when requests may follow those that are there, once the server is to end."""
        self._running: RequestResponseCycle | None = None
        """What is answered now; `cycle` is the last that came, which may wait behind it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; one that was accepted as the server was to end, or spoke TLS first, ends with the others."""
        super().connection_made(transport)
        if getattr(self.server_state, "is_ending", False):
            self.shutdown()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._loose_bytes += len(data)
        if self._loose_bytes > HEAD_BYTES:
            self.logger.warning("a request whose head is larger than %d bytes is refused", HEAD_BYTES)
            self.transport.write(_TOO_LARGE)
            self.transport.close()
            return
        if not self.is_in_body and data.find(b"pgrade:", 0, SOUGHT_BYTES) > 0:
            data = without_offers(data)
        super().data_received(data)

    @property
    def is_in_body(self) -> bool:
        """Whether what comes next is a request's body."""
        return self.cycle is not None and self.cycle.more_body

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._loose_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header: blanks and tabs around its value are no part of it.

        Source: RFC 9110, 5.5 (field values).
        """
        super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """Begin to answer; the answer is the last one where the server ends."""
        if not self.url.startswith(b"/"):
            self._read_whole_url()
        super().on_headers_complete()
        if self._ends_s is not None and self.cycle is not None:
            self.cycle.keep_alive = False

    def _read_whole_url(self) -> None:
        """Take the host from a target that is a whole URL, whatever `Host` says; whether `Host` may be missing stays as it is.

        Source: RFC 9112, 3.2.2 (absolute-form), 3.2 (a request of HTTP/1.1 needs one `Host` all the same).
        """
        found = _WHOLE_URL.fullmatch(self.url)
        if found is None:
            return
        authority, rest = found[1].rpartition(b"@")[2], found[2]
        self.url = rest if rest.startswith(b"/") else b"/" + rest
        count = sum(name == b"host" for name, _ in self.headers)
        if count == 1 or (count == 0 and self.parser.get_http_version() == "1.0"):
            others = [one for one in self.headers if one[0] != b"host"]
            self.headers[:] = [*others, (b"host", authority)]  # the list is the scope's too

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: what is answered now learns that its client left, also where other requests came behind it.

        uvicorn tells the last request alone, so that an answer to one before it is written to what is closed: an error.
        """
        super().connection_lost(exc)
        running, self._running = self._running, None
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()

    def on_body(self, body: bytes) -> None:
        """Take a part of its body."""
        self._loose_bytes = 0
        super().on_body(body)

    @property
    def is_resting(self) -> bool:
        """Whether no request is under way."""
        return self.cycle is None or bool(self.cycle.response_complete)

    @property
    def has_unread(self) -> bool:
        """Whether something came that was not read yet."""
        found = self.transport.get_extra_info("socket")
        if found is None or found.fileno() < 0:
            return False
        looking = select.poll()
        looking.register(found.fileno(), select.POLLIN)
        return bool(looking.poll(0))

    def shutdown(self) -> None:
        """End the connection: after the answer that is due, or the next where a request is on its way."""
        self._ends_s = self.loop.time() + GRACE_S
        self.loop.call_later(GRACE_S, self._end_rest, LOOKS)
        if not self.is_resting and self.cycle is not None:
            self.cycle.keep_alive = False

    def _end_rest(self, looks: int) -> None:
        """End the connection where nothing is under way; otherwise its answer does."""
        if self.transport.is_closing() or not self.is_resting:
            return
        if looks and self.has_unread:
            self.loop.call_later(LOOK_S, self._end_rest, looks - 1)
        else:
            self.transport.close()


def without_offers(data: bytes) -> bytes:
    r"""Return what came of a request without its header `Upgrade`.

    Example:
        >>> without_offers(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\nUpgrade: x")
        b'GET / HTTP/1.1\r\n\r\nUpgrade: x'
    """
    end = data.find(b"\r\n\r\n")
    split = len(data) if end < 0 else end + 2
    return _UPGRADE.sub(b"", data[:split]) + data[split:]
