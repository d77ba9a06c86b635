"""Bodies that are read and answered at once are bounded in all, not one by one only."""

from __future__ import annotations

import asyncio
import zlib

import pytest
from starlette.requests import ClientDisconnect, Request

from penstock.base.errors import Invalid, Unavailable
from penstock.http.bodies import BodyRoom, read_body


def request(*parts: bytes, encoding: str = "", is_whole: bool = True) -> Request:
    """Return a request whose body comes in parts."""
    told = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    told.append({"type": "http.request"} if is_whole else {"type": "http.disconnect"})
    waiting = iter(told)

    async def receive() -> dict[str, object]:
        return dict(next(waiting))

    headers = [(b"content-encoding", encoding.encode())] if encoding else []
    return Request({"type": "http", "headers": headers}, receive)


def test_a_body_takes_room_until_it_is_given_back_and_what_fails_takes_none() -> None:
    room = BodyRoom(100)

    def read(one: Request, limit: int = 1000) -> bytes:
        return asyncio.run(read_body(one, limit, room))

    assert read(request(b"x" * 30, b"y" * 30)) == b"x" * 30 + b"y" * 30
    assert room.used_bytes == 60
    with pytest.raises(Unavailable, match="being answered already") as error:
        read(request(b"x" * 30, b"y" * 30))
    assert (error.value.code, error.value.fields["retry_after_s"]) == ("serving.overloaded", 1)
    for failing in (request(b"x" * 30, is_whole=False), request(b"x" * 30), request(b"no", encoding="gzip")):
        with pytest.raises((ClientDisconnect, Invalid)):
            read(failing, 20)
    assert room.used_bytes == 60
    assert read(request(zlib.compress(b"z" * 15), encoding="deflate")) == b"z" * 15
    assert room.used_bytes == 75
