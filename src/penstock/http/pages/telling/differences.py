"""Two values beside each other: of lists only what one has and the other has not is told. Pure."""

from __future__ import annotations

import json
from typing import Any


def beside(one: str, other: str) -> tuple[str, str]:
    """Return two texts as they are shown beside each other; of two JSON lists, what only each has.

    Example:
        >>> beside('["a", "b"]', '["a", "b", "c"]')
        ('2 in common', '2 in common and c')
        >>> beside("1", "2")
        ('1', '2')
    """
    first, second = _list_of(one), _list_of(other)
    if first is None or second is None:
        return one, other
    common = [item for item in first if item in second]
    if not common or len(common) == len(first) == len(second):
        return one, other
    return _told(first, second, len(common)), _told(second, first, len(common))


def _told(mine: list[Any], theirs: list[Any], common: int) -> str:
    only = [item if isinstance(item, str) else json.dumps(item) for item in mine if item not in theirs]
    return f"{common} in common" + (f" and {', '.join(only)}" if only else "")


def _list_of(text: str) -> list[Any] | None:
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None
