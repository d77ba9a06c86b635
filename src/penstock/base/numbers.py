"""Numbers for people."""

from __future__ import annotations


def format_number(value: float) -> str:
    """Render a number with four significant digits, whole numbers in full.

    Example:
        >>> [format_number(value) for value in (0.718371, 14903.0, 1.5, 1234567.25)]
        ['0.7184', '14,903', '1.5', '1,234,567']
    """
    if abs(value) >= 1000 and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.4g}"
