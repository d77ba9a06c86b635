"""What groups of held-out rows are called: each by the value that its rows have, and no two alike."""

from __future__ import annotations

from typing import Any


def name_group(column: str, value: Any) -> str:
    """Return what the rows are called that have a value in a column; those without one as no text could be.

    Example:
        >>> name_group("carrier", "None"), name_group("carrier", None)
        ('carrier is None', 'carrier has no value')
    """
    return f"{column} has no value" if value is None else f"{column} is {value}"
