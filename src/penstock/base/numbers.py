"""Numbers for people."""

from __future__ import annotations

import math
import sys

GREATEST = sys.float_info.max
"""How a store says infinity, for which SQL has no portable word."""


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
