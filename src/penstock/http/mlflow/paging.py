"""Page tokens. Clients hand them back as they are; one that was not made here is refused."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from penstock.base.errors import Invalid

MAX_OFFSET = 10**9


def encode_token(value: Any) -> str:
    """Return a page token that says where the next page begins."""
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode()


def decode_token(token: str, kind: Any) -> Any:
    """Return what a token says.

    Raises:
        Invalid: it is not one of ours.
    """
    try:
        return msgspec.json.decode(base64.b64decode(token, altchars=b"-_", validate=True), type=kind)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise Invalid(
            f"Invalid page token: {token[:100]!r}",
            code="request.bad_page_token",
            hint="start at the first page",
        ) from None


class _Offset(msgspec.Struct):
    offset: int


def start_of(token: str) -> int:
    """Return how many items stand before a page; no token is the first page.

    Raises:
        Invalid: the token is not one of ours.
    """
    if not token:
        return 0
    offset: int = decode_token(token, _Offset).offset
    if not 0 <= offset <= MAX_OFFSET:
        raise Invalid(f"Invalid page token: {token[:100]!r}", code="request.bad_page_token")
    return offset


def page_of(name: str, items: list[Any], start: int, limit: int) -> dict[str, Any]:
    """Return a page of a list that was read with one item more than `limit`, to know whether more follow."""
    answer: dict[str, Any] = {name: items[:limit]} if items else {}
    if len(items) > limit:
        answer["next_page_token"] = encode_token(_Offset(start + limit))
    return answer
