"""HTTP/1.1 connections on which small predictions are answered directly, and everything else by the application.

A request that may be answered directly is held until it is whole. Then `Direct` gets it; when it does not take it, or the
request is large and did not come at once, uvicorn's protocol goes on with it from its first header, as if it had never
been held. So everything that concerns large bodies and what is not known here stays as it is.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from penstock.http.inference.direct import Direct, Headers
from penstock.http.protocol import WireProtocol

HELD_BYTES = 16384
"""Bodies beyond this that did not come at once are the application's, which counts what all of them take."""


class InferProtocol(WireProtocol):
    """See the module."""

    def __init__(self, direct: Direct, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._direct = direct
        self._endpoint: str | None = None
        """The endpoint of the request that is held."""
        self._found: Headers = {}
        self._body = b""
        self._is_whole = False
        self._is_pending = False
        self._early: list[bytes] = []
        """What came before the answer that is pending."""
        self.answered_count = 0
        """Requests that were answered directly; with `cycle` it says on which request a connection is."""

    def data_received(self, data: bytes) -> None:
        """Read requests; what comes before the last is answered waits."""
        if self._is_pending:
            self._early.append(data)
            self.flow.pause_reading()
            return
        super().data_received(data)
        endpoint = self._endpoint
        if endpoint is None:
            return
        if not self._is_whole:
            if int(self._found[b"content-length"]) > HELD_BYTES:
                self._pass_on()
        elif self.transport.is_closing():
            self._endpoint = None
        elif self._direct.begin(endpoint, self._found, self._body, self._answer):
            self._endpoint = None
            self._is_pending = True
        else:
            self._pass_on()

    def on_message_begin(self) -> None:
        """Begin a request; one that is held before it goes on as usual, so that answers stay in order."""
        if self._endpoint is not None:
            self._pass_on()
        self._loose_bytes = 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Hold the request, or begin to answer it."""
        if self._may_hold():
            self._found = found = dict(self.headers)
            if len(found) == len(self.headers):
                self._endpoint = self._direct.endpoint_of(self.url, found, self.server)
        if self._endpoint is None:
            self._begin_cycle()
        else:
            self._body, self._is_whole = b"", False

    def _begin_cycle(self) -> None:
        """Let uvicorn's protocol begin the request whose headers were read."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def _may_hold(self) -> bool:
        """Whether nothing is under way, and the next request may follow on the same connection."""
        parser = self.parser
        cycle = self.cycle
        return bool(
            (cycle is None or cycle.response_complete)
            and parser.get_method() == b"POST"
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
            and not self.pipeline
            and not self.flow.write_paused
            and not self.config.access_log
            and self.limit_concurrency is None
        )

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._endpoint is None:
            super().on_body(body)
        else:
            self._loose_bytes = 0
            self._body = self._body + body if self._body else body

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        if self._endpoint is None:
            super().on_message_complete()
        else:
            self._is_whole = True

    def _pass_on(self) -> None:
        """Let the request that is held be answered by the application."""
        self._endpoint = None
        self._begin_cycle()
        if self._body:
            super().on_body(self._body)
        if self._is_whole:
            super().on_message_complete()
        self._body = b""

    def _answer(self, response: Response) -> None:
        """Send an answer, and read what came meanwhile."""
        self._is_pending = False
        self.answered_count += 1
        self.server_state.total_requests += 1
        transport = self.transport
        if transport.is_closing():
            return
        parts = [STATUS_LINE[response.status_code]]
        for name, value in (*self.server_state.default_headers, *response.raw_headers):
            parts += (name, b": ", value, b"\r\n")
        is_last = self._ends_s is not None and self._is_last(self._ends_s)
        parts.append(b"connection: close\r\n\r\n" if is_last else b"\r\n")
        parts.append(bytes(response.body))
        transport.write(b"".join(parts))
        if is_last:
            transport.close()
        elif self._early:
            early, self._early = b"".join(self._early), []
            self.flow.resume_reading()
            self.data_received(early)

    def _is_last(self, ends_s: float) -> bool:
        """Whether the connection ends with this answer: what came before it is to be answered too, for a while."""
        return self.loop.time() >= ends_s or not (self._early or self.has_unread)

    @property
    def is_in_body(self) -> bool:
        """Whether what comes next is a request's body, also of one that is held."""
        return self._endpoint is not None or super().is_in_body

    @property
    def is_held(self) -> bool:
        """Whether a request has begun to arrive that nobody answers yet; see `resting`."""
        return self._endpoint is not None

    @property
    def is_resting(self) -> bool:
        """Whether no request is under way, here or in the application."""
        return not self._is_pending and self._endpoint is None and super().is_resting

    def shutdown(self) -> None:
        """End the connection, after the answer where one is due."""
        if self._endpoint is not None:
            self._pass_on()
        super().shutdown()
