"""Rows of several requests as one array a column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from penstock.serving.loaders.model import Array, Columns, Matrix, join_columns
from penstock.serving.matching import iterate_columns


def stack(parts: Sequence[Columns]) -> dict[str, Array]:
    """Return the rows of all parts, by column; a column may be absent from some."""
    if not parts:
        return {}
    stacked: dict[str, list[Array]] = {}
    for part in parts:
        for name, values in part.items():
            stacked.setdefault(name, []).append(values)
    return {name: np.concatenate(arrays) for name, arrays in stacked.items()}


def watched(parts: Sequence[Columns]) -> dict[str, Array]:
    """Return the rows of all parts by what is watched: columns, and the columns of narrow tensors.

    Requests whose columns lie in one matrix are joined before they are taken apart: two hundred times faster for
    1,000 requests of 64 columns.
    """
    alike = _joined_alike(parts)
    if alike is not None:
        return alike
    matrices: dict[int, list[Columns]] = {}
    stacked: dict[str, list[Array]] = {}
    for part in parts:
        if type(part) is Matrix:
            matrices.setdefault(id(part.names), []).append(part)  # hashing 64 names takes as long as all else
        elif part:
            _add(stacked, part)
    for group in matrices.values():
        _add(stacked, join_columns(group))
    return {name: one[0] if len(one) == 1 else np.concatenate(one) for name, one in stacked.items()}


def _joined_alike(parts: Sequence[Columns]) -> dict[str, Array] | None:
    """Return the rows of parts that all have the same columns, which is what most are; None of others."""
    if not parts or list(map(type, parts)).count(type(parts[0])) < len(parts):
        return None
    first = parts[0]
    if type(first) is Matrix:
        if [part for part in parts if type(part) is Matrix and part.names is not first.names]:
            return None
        return dict(join_columns(parts).items())
    if type(first) is not dict or list(map(tuple, parts)).count(tuple(first)) < len(parts):
        return None
    if [1 for values in first.values() if values.ndim != 1]:
        return None
    try:
        return {name: np.concatenate([part[name] for part in parts]) for name in first}
    except ValueError:  # some have other dimensions
        return None


def _add(stacked: dict[str, list[Array]], part: Columns) -> None:
    for name, values in part.items():
        if values.ndim == 1:
            stacked.setdefault(name, []).append(values)
        else:
            for own, column in iterate_columns({name: values}):
                stacked.setdefault(own, []).append(column)
