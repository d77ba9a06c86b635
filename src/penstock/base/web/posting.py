"""Post to an address that somebody wrote down, without being led to where they may not go.

The name is resolved once, every address it has is checked, and the connection goes to one of those very
addresses; so a name that answers differently the second time changes nothing. Redirects are not followed.
An address is public when it is globally routed also after unwrapping (IPv4 in IPv6: mapped, 6to4, Teredo,
NAT64), and is written in full: `127.1`, `0177.0.0.1` and `2130706433` are refused as spellings.

Source: the rules of mlflow/mlflow, mlflow/utils/validation.py (`_is_public_ip`) and mlflow/webhooks/ssrf.py;
differs in that the checked address is the one connected to, instead of checking the peer afterwards.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult

from penstock.base.errors import Unavailable
from penstock.base.web.calls import WebConnection
from penstock.base.web.targets import parse_target, refuse_target

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 10_000
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_NUMERIC = re.compile(r"(?:0[xX][0-9a-fA-F]*|\d+)(?:\.(?:0[xX][0-9a-fA-F]*|\d+)){0,3}\.?\Z")


@dataclass(frozen=True)
class Answer:
    """What the other side said; `body` is its beginning."""

    status: int
    body: str

    @property
    def is_taken(self) -> bool:
        """Whether it accepted what was posted."""
        return 200 <= self.status < 300


def check_target(url: str, *, allow_private: bool = False) -> None:
    """Check that a URL may be posted to, as far as can be said now.

    Raises:
        Invalid: it is no http(s) URL, its host does not resolve, or one of its addresses is not public.
    """
    _addresses(parse_target(url), allow_private=allow_private)


def post_bytes(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allow_private: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Post once and return the answer, whatever its status.

    Raises:
        Invalid: the URL may not be posted to.
        Unavailable: nobody answered in time.
    """
    parts = parse_target(url)
    found = _addresses(parts, allow_private=allow_private)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    server = f"{parts.scheme}://{parts.netloc}"
    connection = WebConnection(server, timeout_s=timeout_s, address=found[0])
    try:
        reply = connection.request("POST", path, body, headers, limit_bytes=MAX_ANSWER_BYTES)
        return Answer(reply.status, reply.body.decode(errors="replace"))
    except Unavailable as error:
        raise Unavailable(error.message, code="posting.no_answer", hint=error.hint) from None
    finally:
        connection.close()


def is_public(address: Address) -> bool:
    """Say whether an address is routed globally, also as what it wraps.

    Example:
        >>> is_public(ipaddress.ip_address("64:ff9b::7f00:1")), is_public(ipaddress.ip_address("8.8.8.8"))
        (False, True)
    """
    inner: Address | None = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if any(address in network for network in _NAT64):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _addresses(parts: SplitResult, *, allow_private: bool) -> list[str]:
    """Return the addresses of a URL's host, each of them allowed.

    Raises:
        Invalid: there are none, or one is not allowed.
    """
    host = parts.hostname or ""
    if _NUMERIC.match(host) and not _is_address(host):
        raise refuse_target(f"Webhook URL names an address in a spelling that is not accepted: {host}")
    try:
        found = socket.getaddrinfo(host, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise refuse_target(f"Webhook URL names a host that cannot be resolved: {host}") from None
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    for address in addresses:
        if not allow_private and not is_public(ipaddress.ip_address(address.partition("%")[0])):
            raise refuse_target(f"Webhook URL leads to {address}, which is not a public address")
    return addresses


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
