"""What uvicorn's HTTP/1.1 leaves open on a connection: how long a head may be, and offers to speak HTTP/2.

Not when a connection has rested for too long; that is `resting`.
"""

from __future__ import annotations

import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 1 << 20
"""So much may come before it is a request, or part of its body: a client that sends headers without end has no body."""
SOUGHT_BYTES = 4096
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n)", re.IGNORECASE)
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class WireProtocol(HttpToolsProtocol):
    """One connection.

    The parser takes a request that offers another protocol to have no body, so that the first request of clients which
    offer HTTP/2, as Java's and `curl --http2` do, would come without. No such offer is accepted here, so none is read.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._loose_bytes = 0

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

    def on_body(self, body: bytes) -> None:
        """Take a part of its body."""
        self._loose_bytes = 0
        super().on_body(body)


def without_offers(data: bytes) -> bytes:
    r"""Return what came of a request without its header `Upgrade`.

    Example:
        >>> without_offers(b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\nUpgrade: x")
        b'GET / HTTP/1.1\r\n\r\nUpgrade: x'
    """
    end = data.find(b"\r\n\r\n")
    split = len(data) if end < 0 else end + 2
    return _UPGRADE.sub(b"", data[:split]) + data[split:]
