"""How many of something, in words: one home for the plural, for pages, reports and commands."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun, as `1 stage` or `10,769 rows`.

    Args:
        one: what a single one is called; a verb may follow, as in `object is`.
        many: what others are called; by default `one` with an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
