"""Bodies of requests: read up to a limit, and decompressed."""

from __future__ import annotations

import zlib

from starlette.requests import ClientDisconnect, Request

from penstock.base.errors import Invalid, Unavailable
from penstock.http.headers import find_header

MEBIBYTE = 1 << 20
ROOM_BYTES = 512 * MEBIBYTE
"""What bodies may take that are read or answered at the same time."""
_WINDOW_BITS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}


class BodyRoom:
    """Counts the bytes of bodies that are read or answered now, up to a bound. Only the loop's thread calls it."""

    def __init__(self, max_bytes: int = ROOM_BYTES) -> None:
        self._max_bytes, self.used_bytes = max_bytes, 0

    def take(self, size_bytes: int) -> None:
        """Take room.

        Raises:
            Unavailable: there is not enough (`serving.overloaded`).
        """
        if self.used_bytes + size_bytes > self._max_bytes:
            raise Unavailable(
                f"requests of {self.used_bytes // MEBIBYTE} MiB are being answered already",
                code="serving.overloaded",
                hint="retry later, or send smaller requests",
                retry_after_s=1,
            )
        self.used_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Give room back."""
        self.used_bytes -= size_bytes


async def read_body(request: Request, limit_bytes: int, room: BodyRoom | None = None) -> bytes:
    """Return the body, decompressed.

    Args:
        room: what it takes room of; `len` of the body is for the caller to give back.

    Raises:
        Invalid: it is larger than the limit, or not what its Content-Encoding says.
        Unavailable: there is no room.
        ClientDisconnect: the client left before it was whole.
    """
    declared = find_header(request.scope, b"content-length") or ""
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    room = room or BodyRoom(2 * limit_bytes)
    parts: list[bytes] = []
    size = 0
    is_whole = False
    try:
        while not is_whole:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part = message.get("body", b"")
            if size + len(part) > limit_bytes:
                raise _too_large(limit_bytes)
            room.take(len(part))
            size += len(part)
            parts.append(part)
            is_whole = not message.get("more_body", False)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        encoding = find_header(request.scope, b"content-encoding")
        if encoding is None:
            return body
        body = decode_body(body, encoding, limit_bytes)
        room.take(len(body))
    except BaseException:
        room.give_back(size)
        raise
    room.give_back(size)
    return body


def decode_body(body: bytes, encodings: str, limit_bytes: int) -> bytes:
    """Undo the encodings that a Content-Encoding header names, the last first.

    Raises:
        Invalid: the body is not that (`http.bad_encoding`), the encoding is unknown (`http.unknown_encoding`),
            or the body is too large.
    """
    names = [name.strip().lower() for name in encodings.split(",")]
    named = [name for name in names if name not in {"", "identity"}]
    for name in named:
        if name not in _WINDOW_BITS or len(named) > 1:
            raise Invalid(
                f"Content-Encoding {encodings[:64]!r} is not supported",
                code="http.unknown_encoding",
                hint="use gzip, deflate or no compression",
            )
    return _inflate(body, named[0], limit_bytes) if named else body


def _inflate(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    for bits in _WINDOW_BITS[encoding]:
        data = _members(body, bits, limit_bytes, repeats=encoding != "deflate")
        if data is not None:
            return data
    raise Invalid(
        f"the body is not {encoding}",
        code="http.bad_encoding",
        hint="use gzip, deflate or no compression",
    )


def _members(body: bytes, bits: int, limit_bytes: int, *, repeats: bool) -> bytes | None:
    """Return all of a stream, whose members may follow each other (RFC 1952, 2.2); None when it is broken."""
    parts: list[bytes] = []
    size = 0
    rest = body
    while True:
        decompressor = zlib.decompressobj(bits)
        try:
            data = decompressor.decompress(rest, limit_bytes + 1 - size)
        except zlib.error:
            return None
        size += len(data)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if not decompressor.eof:
            return None
        parts.append(data)
        rest = decompressor.unused_data
        if not rest:
            return b"".join(parts)
        if not repeats:
            return None


def _too_large(limit_bytes: int) -> Invalid:
    return Invalid(
        f"the body is larger than {limit_bytes // MEBIBYTE} MiB",
        code="http.body_too_large",
        hint="send the rows in several requests",
    )
