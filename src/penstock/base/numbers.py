"""Numbers for people."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

GREATEST = sys.float_info.max
"""How a store says infinity, for which SQL has no portable word."""


MOST_LETTERS = 7
"""Of a label of an axis: there is room for so many."""
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def storable(value: float) -> float:
    """Return a value as it can be stored and compared in SQL."""
    if -GREATEST <= value <= GREATEST:
        return value
    return 0.0 if math.isnan(value) else math.copysign(GREATEST, value)


def is_endless(value: float) -> bool:
    """Say whether a number is an infinity, or what a store keeps for one."""
    return math.isinf(value) or abs(value) == GREATEST


def format_number(value: float) -> str:
    """Render a number with four significant digits, whole numbers in full.

    Example:
        >>> [format_number(value) for value in (0.718371, 14903.0, 1.5, 1234567.25, -GREATEST)]
        ['0.7184', '14,903', '1.5', '1,234,567', '-inf']
    """
    if is_endless(value):
        return "inf" if value > 0 else "-inf"
    if abs(value) >= 1000 and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_plainly(value: float) -> str:
    """Render a number with six significant digits; an infinity by its name.

    Example:
        >>> format_plainly(1 / 3), format_plainly(GREATEST)
        ('0.333333', 'inf')
    """
    return format_number(value) if is_endless(value) else f"{value:g}"


def format_exactly(value: object) -> str:
    """Render a value so that what differs looks different; an infinity by its name.

    Example:
        >>> format_exactly(0.1), format_exactly(GREATEST), format_exactly("3")
        ('0.1', 'inf', '3')
    """
    return format_number(value) if isinstance(value, float) and is_endless(value) else str(value)


def format_axis(values: Sequence[float], plain: Callable[[float], str] = format_number) -> list[str]:
    """Render the numbers of an axis as `plain` does; shorter where one would be too long, and never two alike.

    Example:
        >>> format_axis([0, 50_000, 99_000]), format_axis([0.0, 500_000.0, 1_000_000.0])
        (['0', '50,000', '99,000'], ['0', '500k', '1M'])
    """
    texts = [plain(value) for value in values]
    if all(len(text) <= MOST_LETTERS for text in texts):
        return texts
    for digits in range(3, 9):
        texts = [_scaled(value, digits) for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


def _scaled(value: float, digits: int) -> str:
    size, letter = next((one for one in UNITS if one[0] <= abs(value) < 1e15), (1.0, ""))
    return f"{value / size:.{digits}g}{letter}"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun, as `1 stage` or `10,769 rows`: one home for the plural.

    Args:
        one: what a single one is called; a verb may follow, as in `object is`.
        many: what others are called; by default `one` with an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"
