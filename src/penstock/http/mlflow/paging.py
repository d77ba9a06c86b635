"""Page tokens. Clients hand them back as they are; one that was not made here is refused."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from penstock.base.digest import digest_bytes
from penstock.base.errors import Invalid
from penstock.records.search.keyset import Cursor

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


class _Place(msgspec.Struct):
    place: Cursor
    order: str


def after_of(token: str, order: Sequence[Any]) -> Cursor | None:
    """Return the place behind which a page begins; no token is the first page.

    Raises:
        Invalid: the token is not one of ours, or was made for another order.
    """
    if not token:
        return None
    found: _Place = decode_token(token, _Place)
    if found.order != _order_mark(order):
        raise Invalid(
            f"Invalid page token: {token[:100]!r} was made for another order_by",
            code="request.bad_page_token",
            hint="start at the first page",
        )
    return found.place


def page_behind(
    name: str, items: list[Any], limit: int, order: Sequence[Any], place_of: Callable[[Any], Cursor]
) -> dict[str, Any]:
    """Return a page of a list that was read with one item more than `limit`, to know whether more follow.

    Args:
        place_of: an item's place in the order; asked of the page's last one where more follow.
    """
    answer: dict[str, Any] = {name: items[:limit]} if items else {}
    if len(items) > limit:
        place = place_of(items[limit - 1])
        answer["next_page_token"] = encode_token(_Place(place, _order_mark(order)))
    return answer


def _order_mark(order: Sequence[Any]) -> str:
    return digest_bytes(msgspec.json.encode(list(order)))[:12]


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
