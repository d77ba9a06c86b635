"""Requests that are nearly right: bytes changed, cut, doubled; values of JSON replaced by odd ones."""

from __future__ import annotations

import json
import random
from typing import Any

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**40, 0.5, -0.0, 1e308, "", "x", "\u0000",
    "Ü" * 50, "FP16", "BF16", "BYTES", "INT8", "probability", "prediction", "hour", [], [[]], [[[]]], {}, {"a": {}},
    [1], [1, 1], [1, -1], [0], [2**40, 2**40], [1] * 33, [1] * 65, [None], ["x"], [True], [1.5], [[1], [1, 2]],
]  # fmt: skip
KEYS = [
    "inputs",
    "outputs",
    "parameters",
    "id",
    "name",
    "shape",
    "datatype",
    "data",
    "binary_data_size",
    "timeout",
]


def change_value(value: Any, chance: random.Random) -> Any:
    """Return a document with one part of it replaced, removed, doubled or renamed."""
    if chance.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return chance.choice(ODD)
    if isinstance(value, dict):
        made = dict(value)
        name = chance.choice(list(made))
        kind = chance.randrange(8)
        if kind == 0:
            del made[name]
        elif kind == 1:
            made[chance.choice(KEYS)] = made.pop(name)
        elif kind == 2:
            made[chance.choice(KEYS)] = chance.choice(ODD)
        else:
            made[name] = change_value(made[name], chance)
        return made
    items = list(value)
    index = chance.randrange(len(items))
    kind = chance.randrange(8)
    if kind == 0:
        del items[index]
    elif kind == 1:
        items.append(items[index])
    else:
        items[index] = change_value(items[index], chance)
    return items


def change_json(document: Any, chance: random.Random) -> bytes:
    """Return a document with a few such changes as text."""
    for _ in range(chance.randint(0, 2)):
        document = change_value(document, chance)
    return json.dumps(document).encode()


def change_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with a few of them changed, cut out, doubled or put in."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not made:
            break
        start = chance.randrange(len(made))
        end = min(len(made), start + chance.choice([1, 1, 2, 4, 8, 64]))
        kind = chance.randrange(5)
        if kind == 0:
            made[start] = chance.randrange(256)
        elif kind == 1:
            made[start] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del made[start:end]
        elif kind == 3:
            made[start:start] = made[start:end]
        else:
            made[start:start] = chance.randbytes(chance.choice([1, 4, 8]))
    return bytes(made)
