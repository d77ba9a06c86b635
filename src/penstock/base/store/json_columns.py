"""JSON of the columns of PostgreSQL, whose type refuses the words that Python writes for NaN and the infinities.

Such a number is kept as an object of one key, and is the number again when it is read; all else is plain JSON.
"""

from __future__ import annotations

import json
import math
from typing import Any

MARK = "penstock.float"


def write_json(value: Any) -> str:
    """Return a value as JSON text that PostgreSQL takes.

    Example:
        >>> print(write_json({"auc": float("nan"), "rows": 3}))
        {"auc": {"penstock.float": "nan"}, "rows": 3}
    """
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:  # looked for once it is known to be there
        return json.dumps(_marked(value), allow_nan=False)


def read_json(text: str | bytes) -> Any:
    """Return what `write_json` wrote.

    Example:
        >>> read_json(write_json([float("-inf"), "inf"]))
        [-inf, 'inf']
    """
    told = text if isinstance(text, str) else text.decode()
    return json.loads(told, object_hook=_unmarked if MARK in told else None)


def _marked(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {MARK: str(value)}
    if isinstance(value, dict):
        return {key: _marked(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(one) for one in value]
    return value


def _unmarked(found: dict[str, Any]) -> Any:
    return float(found[MARK]) if found.keys() == {MARK} else found
