"""What was asked or answered without columns that are not to be kept by row, and what an error may say where some are not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from penstock.monitoring.rowwise.redaction import is_redacted

KIND = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")


def without_redacted(value: Any, names: tuple[str, ...]) -> Any:
    """Return what was asked or answered without redacted values where they would become part of a column's text.

    What becomes a column of its own stays: windows count it, and whoever keeps rows leaves the column out.
    """
    if not names:
        return value
    if isinstance(value, Mapping):
        return {key: _column(str(key), one, names) for key, one in value.items()}
    if isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value):
        return [{key: _cell(str(key), cell, names) for key, cell in row.items()} for row in value]
    return _pruned("", value, names)


def _column(path: str, value: Any, names: tuple[str, ...]) -> Any:
    """Return a value of a mapping, whose mappings are columns of their own."""
    if isinstance(value, Mapping):
        return {key: _column(f"{path}.{key}", one, names) for key, one in value.items()}
    return _cell(path, value, names)


def _cell(path: str, value: Any, names: tuple[str, ...]) -> Any:
    return value if is_redacted(path, names) else _pruned(path, value, names)


def _pruned(path: str, value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _pruned(f"{path}.{key}", one, names)
            for key, one in value.items()
            if not is_redacted(f"{path}.{key}", names)
        }
    if isinstance(value, list | tuple):
        return [_pruned(path, one, names) for one in value]
    return value


def kind_of_error(text: str) -> str:
    """Return the kind of an error without its words, which may hold what was asked.

    Example:
        >>> kind_of_error("ValueError: no plan called pro"), kind_of_error("timeout"), kind_of_error("no plan pro")
        ('ValueError', 'timeout', 'error')
    """
    kind = text.partition(":")[0].strip()
    return kind if KIND.fullmatch(kind) else "error"
