"""Which columns are not to be kept by row, however they are nested."""

from __future__ import annotations

import functools


@functools.lru_cache(maxsize=4096)
def is_redacted(column: str, names: tuple[str, ...]) -> bool:
    """Return whether a column is one of the names, lies below one, or is called so below another column.

    Example:
        >>> [is_redacted(one, ("plan",)) for one in ("plan", "plan.x.y", "user.plan", "user.plan.x", "plans")]
        [True, True, True, True, False]
    """
    return any(f".{name}." in f".{column}." for name in names)
