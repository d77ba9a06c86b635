"""Refuse requests under a foreign name or from foreign pages, and give every answer its protective headers.

A page in a browser can reach a server on the same machine by a name that its author makes point to
127.0.0.1 (DNS rebinding). Such a request carries that name in its Host header; it is refused here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, MutableMapping
from functools import lru_cache
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.base.errors import Denied, Invalid, PenstockError
from penstock.http.headers import find_header
from penstock.http.mlflow.errors import response_for

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN_SITES = frozenset({"cross-site", "same-site"})
"""What a browser says of a page on another site, and on another port or name of the same."""
PROTECTION: dict[str, str] = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class HostCheck:
    """Let through what names the loopback, the address it reached, or one of `allowed`; `*.example.org` allows all below it."""

    def __init__(self, app: ASGIApp, allowed: Iterable[str] = ()) -> None:
        self._app = app
        names = [name.lower().rstrip(".") for name in allowed]
        self._allowed = frozenset(name for name in names if not name.startswith("*."))
        self._endings = tuple(name[1:] for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to a foreign name, and to a change that a foreign page asks for."""
        error = self._foreign(scope) if scope["type"] == "http" else None
        if error is not None:
            await response_for(str(scope["path"]), error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _foreign(self, scope: Scope) -> PenstockError | None:
        """Return what is wrong with where a request comes from, or None."""
        name = find_header(scope, b"host")
        if len([key for key, _ in scope["headers"] if key == b"host"]) > 1:
            return Invalid("the request has several headers Host", code="http.several_hosts")
        if name is None:
            # browsers, which may be led here, always send it; probes that speak HTTP/1.0 do not
            if scope.get("http_version") != "1.0":
                return Invalid("the request has no header Host, as HTTP/1.1 asks for", code="http.no_host")
            name = ""
        elif not self.is_ours(name, scope.get("server")):
            return Denied(
                f"this server is not called {name[:100]!r}",
                code="http.foreign_host",
                hint="call it by the address it listens on, or start it with --allowed-hosts NAME",
            )
        if scope["method"] in HARMLESS:
            return None
        origin = find_header(scope, b"origin")
        if origin is not None:
            is_foreign = not self._is_same_origin(origin, name, str(scope.get("scheme", "http")))
        else:
            is_foreign = find_header(scope, b"sec-fetch-site") in FOREIGN_SITES
        if is_foreign:
            return Denied(
                f"a page of {(origin or 'another site')[:100]!r} may not change anything here",
                code="http.foreign_origin",
                hint="open the page by the address of this server, or name the page's host with --allowed-hosts",
            )
        return None

    def _is_same_origin(self, origin: str, host: str, scheme: str) -> bool:
        """Whether a page is this server's: same name and port, since another port is another program; or one allowed by name.

        A page over TLS may come through a proxy that ends it; one without TLS is never of a server that has it.
        """
        its_scheme, _, authority = origin.lower().partition("://")
        if authority == host.strip().lower():
            return its_scheme == "https" or scheme == "http"
        name = host_name(authority)
        return name in self._allowed or (bool(self._endings) and name.endswith(self._endings))

    def is_ours(self, header: str, server: tuple[str, int | None] | None) -> bool:
        """Whether a Host header names this server; `server` is the address that was reached."""
        name = host_name(header)
        reached = server or ("", None)
        return bool(name) and (
            "*" in self._allowed
            or name in self._allowed
            or (bool(self._endings) and name.endswith(self._endings))
            or is_loopback(name)
            or name == str(reached[0]).lower().strip("[]")
        )


class Protect:
    """Add `PROTECTION` to every answer that does not set the headers itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the answer's headers."""

        async def complete(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in PROTECTION.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, complete)


@lru_cache(maxsize=256)
def host_name(header: str) -> str:
    """Return the name in a Host header without its port, in lower case; empty when it cannot be read.

    Example:
        >>> host_name("LOCALHOST:5000"), host_name("[::1]:80"), host_name("::1")
        ('localhost', '::1', '')
    """
    text = header.strip().lower()
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        return name if bracket and (not rest or rest[1:].isdigit()) else ""
    name, colon, port = text.partition(":")
    return "" if colon and not port.isdigit() else name.rstrip(".")


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """Whether a host's name can only mean this machine.

    Example:
        >>> is_loopback("127.0.0.2"), is_loopback("localhost"), is_loopback("localhost.example.org")
        (True, True, False)
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
