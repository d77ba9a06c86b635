r"""JSON as everybody reads it: what RFC 8259 has no word for is written as a text.

NaN and the infinities become "NaN", "Infinity" and "-Infinity", as in the JSON of Protocol Buffers, and so of MLflow;
dates and the like become what `str` makes of them, as keys too. A byte of a name that is not UTF-8 (a lone surrogate
in Python) is escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping


def render_json(document: object) -> str:
    r"""Return a document as JSON text that any reader takes.

    Example:
        >>> print(render_json({"path": "caf\u00e9 \udcff", "auc": float("nan")}))
        {"path": "café \udcff", "auc": "NaN"}
    """
    try:
        text = json.dumps(document, ensure_ascii=False, default=str, allow_nan=False)
    except (ValueError, TypeError):  # looked for once it is known to be there
        text = json.dumps(_plain(document), ensure_ascii=False, default=str, allow_nan=False)
    return text.encode(errors="backslashreplace").decode()  # Python's escape of a surrogate is JSON's


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {_key(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _key(key: object) -> object:
    if isinstance(key, float) and not math.isfinite(key):
        return _plain(key)
    return key if isinstance(key, str | int | float | None) else str(key)
