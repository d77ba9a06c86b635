"""Tensors of the Open Inference Protocol, as JSON and as bytes; what a model takes of them is `matching`.

Everything that is not what its datatype and shape say is refused with a sentence that names the input.

Source:
    kserve/open-inference-protocol, inference_rest.md (tensor data, datatypes).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.serving.loaders.model import Array, numpy_dtype

MARK = b"\xef\xbb\xbf"
"""What some programs write before UTF-8 text; RFC 8259 lets a reader pass over it."""
NONFINITE_TOLD = 100
"""So many numbers of an array that JSON has no word for are named."""
_HALF = re.compile(
    rb"(?<!\\)\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)


class Tensor(msgspec.Struct, frozen=True):
    """A named array of one datatype; text is an `object` array of `str` (None: missing)."""

    name: str
    datatype: str
    values: Array


def bad_request(message: str, case: str = "bad_request", hint: str | None = None) -> Invalid:
    """Return the error for a request that cannot be served as it is."""
    return Invalid(message, code=f"serving.{case}", hint=hint)


def element_count(name: str, shape: Sequence[int]) -> int:
    """Return how many elements a shape holds.

    Raises:
        Invalid: a dimension is negative.
    """
    if len(shape) == 1 and shape[0] >= 0:  # nearly always
        return shape[0]
    if any(size < 0 for size in shape):
        raise bad_request(f"input {name!r}: shape {list(shape)} has a negative dimension", "bad_shape")
    return math.prod(shape)


def without_mark(data: memoryview) -> memoryview:
    """Return JSON without the mark that may stand before it."""
    return data[len(MARK) :] if data[: len(MARK)] == MARK else data


def why_not_json(error: Exception, data: msgspec.Raw | memoryview | bytes) -> str:
    """Return why JSON could not be read, in place of the reader's own words where half a character stands in it.

    Example:
        >>> why_not_json(ValueError("Input data was truncated"), b'["\\\\ud83d"]')
        'it holds half of a surrogate pair (\\\\ud83d), which is no character'
    """
    found = _HALF.search(bytes(data))
    if found is None:
        return str(error)
    return f"it holds half of a surrogate pair ({found[0].decode()}), which is no character"


def from_json(name: str, datatype: str, shape: Sequence[int], data: msgspec.Raw) -> Array:
    """Read a tensor's JSON data, flat or nested in row-major order, as an array of its shape.

    `null` stands for a missing value in floating-point and text tensors.

    Raises:
        Invalid: the data are not of the datatype, or not of the shape.
    """
    dtype = numpy_dtype(datatype)
    count = element_count(name, shape)
    try:
        values = _DECODERS[dtype.kind].decode(data)
    except msgspec.ValidationError as error:
        values = _nested(name, datatype, shape, data, error)
    except msgspec.DecodeError as error:
        why = why_not_json(error, data)
        raise bad_request(f"input {name!r}: its data are not JSON: {why}", "bad_json") from None
    if len(values) != count:
        raise bad_request(
            f"input {name!r}: shape {list(shape)} holds {counted(count, 'element')}, but data has {len(values)}",
            "bad_shape",
        )
    try:
        return _array(values, dtype).reshape(shape)
    except OverflowError:
        raise bad_request(f"input {name!r}: a value does not fit into {datatype}", "bad_data") from None


_DECODERS: dict[str, msgspec.json.Decoder[list[Any]]] = {
    "b": msgspec.json.Decoder(list[bool]),
    "i": msgspec.json.Decoder(list[int]),
    "u": msgspec.json.Decoder(list[int]),
    "f": msgspec.json.Decoder(list[float | None]),
    "O": msgspec.json.Decoder(list[str | None]),
}


def _array(values: list[Any], dtype: np.dtype[Any]) -> Array:
    if dtype.kind == "O":
        array = np.empty(len(values), dtype=dtype)
        array[:] = values
        return array
    if dtype.kind != "f" or dtype.itemsize == 8:
        return np.array(values, dtype=dtype)
    with np.errstate(over="ignore"):
        array = np.array(values, dtype=dtype)
    if np.isinf(array).any():
        raise OverflowError
    return array


def _nested(name: str, datatype: str, shape: Sequence[int], data: msgspec.Raw, error: Exception) -> list[Any]:
    """Flatten nested data; its nesting must be the shape."""
    try:
        level = [msgspec.json.decode(data)]
    except msgspec.DecodeError as problem:
        why = why_not_json(problem, data)
        raise bad_request(f"input {name!r}: data cannot be read: {why}", "bad_data") from None
    for size in shape:
        if not all(isinstance(part, list) and len(part) == size for part in level):
            reason = str(error).replace("`", "").replace(" - at $", " at data")
            raise bad_request(
                f"input {name!r}: data do not fit {datatype} {list(shape)}: {reason}", "bad_data"
            )
        level = [item for part in level for item in part]
    try:
        flat: list[Any] = msgspec.convert(level, _DECODERS[numpy_dtype(datatype).kind].type)
    except msgspec.ValidationError as problem:
        raise bad_request(f"input {name!r}: data are not {datatype}: {problem}", "bad_data") from None
    return flat


def from_binary(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> Array:
    """Read a tensor's little-endian bytes as an array of its shape.

    Raises:
        Invalid: the bytes are not of the shape, or text is not UTF-8.

    Source:
        Triton Inference Server, protocol/extension_binary_data.md.
    """
    count = element_count(name, shape)
    dtype = numpy_dtype(datatype)
    if dtype.kind == "O":
        return _texts(name, count, data).reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise bad_request(
            f"input {name!r}: {datatype} {list(shape)} takes {counted(count * dtype.itemsize, 'byte')}, not {len(data)}",
            "bad_shape",
        )
    if dtype.kind == "b" and len(data) and max(data) > 1:
        raise bad_request(f"input {name!r}: a BOOL byte is neither 0 nor 1", "bad_data")
    return np.frombuffer(data, dtype=dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def _texts(name: str, count: int, data: memoryview) -> Array:
    texts: list[str] = []
    position = 0
    while position < len(data):
        start = position + 4
        position = start + int.from_bytes(data[position:start], "little")
        if start > len(data) or position > len(data):
            raise bad_request(f"input {name!r}: its bytes end within an element", "bad_data")
        try:
            texts.append(str(data[start:position], "utf-8"))
        except UnicodeDecodeError:
            raise bad_request(f"input {name!r}: element {len(texts)} is not UTF-8 text", "bad_data") from None
    if len(texts) != count:
        raise bad_request(
            f"input {name!r}: the shape holds {counted(count, 'element')}, but its bytes {len(texts)}",
            "bad_shape",
        )
    return _array(texts, np.dtype(np.object_))


def to_binary(tensor: Tensor) -> bytes:
    """Return a tensor's little-endian bytes."""
    if tensor.datatype == "BYTES":
        encoded = [("" if item is None else str(item)).encode() for item in tensor.values.ravel()]
        return b"".join(len(item).to_bytes(4, "little") + item for item in encoded)
    dtype = numpy_dtype(tensor.datatype).newbyteorder("<")
    return np.ascontiguousarray(tensor.values, dtype=dtype).tobytes()


def name_nonfinite(values: Array) -> str:
    """Name the numbers of an array that JSON has no word for, by their places in row-major order; empty without any.

    Example:
        >>> name_nonfinite(np.array([1.0, np.nan, -np.inf]))
        '1: NaN, 2: -Infinity'
    """
    if values.dtype.kind != "f":
        return ""
    flat = values.ravel()
    places = np.flatnonzero(~np.isfinite(flat))
    words = [f"{place}: {_word(flat[place])}" for place in places[:NONFINITE_TOLD]]
    if len(places) > NONFINITE_TOLD:
        words.append(f"and {len(places) - NONFINITE_TOLD} more")
    return ", ".join(words)


def _word(value: np.floating[Any]) -> str:
    if np.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
