"""The one HTTP client: requests to a server over a connection that is kept.

Built on the standard library, because a training imports it and sends through it: httpx takes 0.15 s more to load
and four times the processor time a request (docs/decisions/0003-dependencies.md). Redirects are not followed, and
nothing is tried again; both are the caller's to decide.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from penstock.base.errors import Invalid, Unavailable

BLOCK_BYTES = 1 << 20
FAILED = 400
UNTRUSTED = "web.untrusted"
TRUST_IT = (
    "set SSL_CERT_FILE=CA.pem to the certificate that signed the server's (its own, if it signed itself); one that has "
    "expired, or is of another name, has to be renewed there"
)
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """What a server answered; `body` is empty where it went into a file."""

    status: int
    body: bytes

    @property
    def has_failed(self) -> bool:
        """Whether the server refused or broke."""
        return self.status >= FAILED

    def json(self) -> Any:
        """Return the body as a document.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.body)


class WebConnection:
    """One connection to a server, opened at the first request and again when it broke. Not thread-safe.

    Args:
        url: the server's; what stands in it after the host is put before each path.
        timeout_s: how long to wait for the connection, and for each piece of an answer.
        address: where to connect instead of asking for the host's address; TLS still proves the host's name.
    """

    def __init__(self, url: str, *, timeout_s: float, address: str | None = None) -> None:
        self._parts = parse_server(url)
        self._prefix = self._parts.path.rstrip("/")
        self._connection = _open(self._parts, timeout_s, address)
        self._host = {} if address is None else {"Host": self._parts.netloc.rpartition("@")[2]}

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Path | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        into: Path | None = None,
        limit_bytes: int | None = None,
    ) -> Reply:
        """Send one request and return the answer, whatever its status.

        Args:
            method: GET, POST, ….
            path: begins with a slash, or is empty for the URL as it stands; already encoded.
            body: a file is streamed.
            headers: of this request.
            into: takes the body of an answer that did not fail, as it comes.
            limit_bytes: how much of the body is read at most.

        Raises:
            Unavailable: nobody answered in time, or the answer broke off, or the server's certificate is not trusted
                (`web.untrusted`); the connection is closed.
        """
        all_headers = {**self._host, **(headers or {})}
        try:
            if isinstance(body, Path):
                all_headers["Content-Length"] = str(body.stat().st_size)
                with body.open("rb") as file:
                    self._connection.request(method, f"{self._prefix}{path}", file, all_headers)
            else:
                self._connection.request(method, f"{self._prefix}{path}", body, all_headers)
            answer = self._connection.getresponse()
            if into is not None and answer.status < FAILED:
                _write(answer, into)
                return Reply(answer.status, b"")
            return Reply(answer.status, answer.read() if limit_bytes is None else answer.read(limit_bytes))
        except ssl.SSLCertVerificationError as error:
            self.close()
            why = f"its certificate is not trusted here: {error.verify_message}"
            raise Unavailable(
                f"{self._parts.hostname}: {why}", code=UNTRUSTED, hint=TRUST_IT, why=why
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unavailable(
                f"{self._parts.hostname} did not answer: {str(error) or type(error).__name__}",
                code="web.no_answer",
                hint="check the URL and that its server runs",
                why=str(error) or type(error).__name__,
            ) from error

    def close(self) -> None:
        """Close it; the next request opens another."""
        self._connection.close()


def parse_server(url: str) -> SplitResult:
    """Return the parts of a server's URL.

    Raises:
        Invalid: it is no http(s) URL with a host.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Invalid(
            f"not a server's address: {url!r}", code="web.bad_url", hint="name it like http://HOST:5000"
        )
    return parts


def _write(answer: http.client.HTTPResponse, into: Path) -> None:
    with into.open("wb") as out:
        while block := answer.read(BLOCK_BYTES):
            out.write(block)
        if answer.length:  # a short body read in parts ends without an error
            raise http.client.IncompleteRead(b"", answer.length)


def _open(parts: SplitResult, timeout_s: float, address: str | None) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(address or host, parts.port, timeout=timeout_s)
    if address is None:
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s)
    return _PinnedHttps(address, parts.port, timeout_s, host)


class _PinnedHttps(http.client.HTTPSConnection):
    """TLS to an address, with the certificate checked for the name that the URL has."""

    def __init__(self, address: str, port: int | None, timeout_s: float, name: str) -> None:
        super().__init__(address, port, timeout=timeout_s)
        self._name = name

    def connect(self) -> None:
        """Connect to the address and shake hands under the name."""
        bare = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = ssl.create_default_context().wrap_socket(bare, server_hostname=self._name)
