"""Structs of arrays and plain values, as bytes and back: what one process tells another, which runs nothing by it.

Format: MessagePack of the struct; an array is `[numpy's name of its type, its shape, its bytes in row-major order]`.
Arrays of objects have no such form.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_origin

import msgspec
import numpy as np

Kind = TypeVar("Kind")


class Portable(msgspec.Struct, frozen=True):
    """What may hold arrays."""


def to_bytes(value: Any) -> bytes:
    """Return a struct as bytes.

    Raises:
        TypeError: it holds an array of objects, or what is neither an array nor plain.
    """
    return msgspec.msgpack.encode(value, enc_hook=_packed)


def from_bytes(data: bytes, kind: type[Kind]) -> Kind:
    """Return the struct that `to_bytes` made bytes of.

    Raises:
        msgspec.DecodeError: the bytes are of something else.
    """
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_unpacked)


def _packed(value: Any) -> Any:
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise TypeError(f"{type(value).__name__} cannot be handed over")
    return value.dtype.str, value.shape, value.tobytes()


def _unpacked(kind: type, value: Any) -> Any:
    if get_origin(kind) is not np.ndarray:
        raise TypeError(f"{kind} cannot be handed over")
    name, shape, data = value
    return np.frombuffer(data, np.dtype(name)).reshape(shape)
