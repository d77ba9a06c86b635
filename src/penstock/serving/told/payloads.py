"""What a model server's own protocols say, as plain values: Open Inference, TensorFlow's, and Seldon's messages.

For those who log requests and answers elsewhere. Nothing is checked against a model here.

Source:
    Open Inference Protocol v2 (`inputs`, `outputs`); TensorFlow Serving REST (`instances`, `predictions`);
    Seldon Core 1 `SeldonMessage` (`data.ndarray`, `data.tensor`, `jsonData`, `strData`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from penstock.base.errors import Invalid
from penstock.base.numbers import counted

HINT = "log JSON of the Open Inference Protocol, of TensorFlow's REST API or of Seldon's messages"


def values_of(payload: Any) -> Any:
    """Return what a request or an answer holds: columns by name, or rows.

    Raises:
        Invalid: it is of none of the protocols (`observations.bad_payload`).

    Example:
        >>> values_of({"inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1, 2]}]})
        {'x': [1, 2]}
        >>> values_of({"data": {"names": ["a", "b"], "ndarray": [[1, 2]]}})
        {'a': [1], 'b': [2]}
    """
    if not isinstance(payload, Mapping):
        raise _bad("it is no JSON object")
    for name in ("inputs", "outputs"):
        tensors = payload.get(name)
        if isinstance(tensors, list) and all(isinstance(one, Mapping) and "name" in one for one in tensors):
            return _tensors(tensors)
    for name in ("instances", "predictions", "inputs", "outputs"):
        if name in payload:
            return payload[name]
    if isinstance(payload.get("data"), Mapping):
        return _seldon(payload["data"])
    for name in ("jsonData", "strData"):
        if name in payload:
            return payload[name]
    raise _bad("it has none of inputs, outputs, instances, predictions and data")


def _tensors(tensors: list[Mapping[str, Any]]) -> dict[str, Any] | list[Any]:
    found = {}
    for one in tensors:
        if "data" not in one:
            raise _bad(f"tensor {str(one['name'])[:64]!r} has no data; binary tensors are not understood")
        found[str(one["name"])] = _shaped(one["data"], one.get("shape"))
    only = next(iter(found.values())) if len(found) == 1 else None
    is_matrix = isinstance(only, list) and bool(only) and isinstance(only[0], list)
    return only if is_matrix and isinstance(only, list) else found


def _shaped(data: Any, shape: Any) -> Any:
    """Return rows of a tensor; `[n]` and `[n, 1]` are values."""
    flat = _flat(data)
    if not isinstance(shape, list) or not all(isinstance(one, int) and one >= 0 for one in shape):
        return flat
    if math.prod(shape) != len(flat):
        raise _bad(f"a tensor of the shape {shape} has {counted(len(flat), 'value')}")
    if len(shape) < 2 or shape[1:] == [1]:
        return flat
    width = len(flat) // shape[0] if shape[0] else 0
    return [flat[start : start + width] for start in range(0, len(flat), width)] if width else []


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    if not any(isinstance(one, list) for one in data):
        return data
    return [value for one in data for value in _flat(one)]


def _seldon(data: Mapping[str, Any]) -> Any:
    if isinstance(data.get("tensor"), Mapping):
        rows = _shaped(data["tensor"].get("values", []), data["tensor"].get("shape"))
    elif isinstance(data.get("ndarray"), list):
        rows = data["ndarray"]
    else:
        raise _bad("its data has neither ndarray nor tensor")
    names = data.get("names")
    is_table = isinstance(rows, list) and all(isinstance(row, list) for row in rows)
    if is_table and isinstance(names, list) and names and all(len(row) == len(names) for row in rows):
        return {str(name): [row[index] for row in rows] for index, name in enumerate(names)}
    return rows


def _bad(why: str) -> Invalid:
    return Invalid(f"the payload is not understood: {why}", code="observations.bad_payload", hint=HINT)
