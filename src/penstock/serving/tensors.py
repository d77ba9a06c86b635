"""Tensors of the Open Inference Protocol and the columns a model takes.

Everything that does not fit the signature is refused with a sentence that names the input; nothing is
coerced that could lose information.

Source:
    kserve/open-inference-protocol, inference_rest.md (tensor data, datatypes).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from penstock.base.errors import Invalid
from penstock.records.signature import Column, Signature
from penstock.serving.loaders.model import Array, numpy_dtype

EXACT_INTEGER_MAX = 2**53
"""Up to here FP64 holds every integer."""


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
        raise bad_request(f"input {name!r}: its data are not JSON: {error}", "bad_json") from None
    if len(values) != count:
        raise bad_request(
            f"input {name!r}: shape {list(shape)} holds {count} elements, but data has {len(values)}",
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
        raise bad_request(f"input {name!r}: data cannot be read: {problem}", "bad_data") from None
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
            f"input {name!r}: {datatype} {list(shape)} takes {count * dtype.itemsize} bytes, not {len(data)}",
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
            f"input {name!r}: the shape holds {count} elements, but its bytes {len(texts)}", "bad_shape"
        )
    return _array(texts, np.dtype(np.object_))


def to_binary(tensor: Tensor) -> bytes:
    """Return a tensor's little-endian bytes."""
    if tensor.datatype == "BYTES":
        encoded = [("" if item is None else str(item)).encode() for item in tensor.values.ravel()]
        return b"".join(len(item).to_bytes(4, "little") + item for item in encoded)
    dtype = numpy_dtype(tensor.datatype).newbyteorder("<")
    return np.ascontiguousarray(tensor.values, dtype=dtype).tobytes()


def to_columns(signature: Signature, tensors: Iterable[Tensor]) -> tuple[dict[str, Array], int]:
    """Match a request's tensors with a signature's inputs; return the columns and the row count.

    A tensor has the shape `[n]` or `[n, 1]`, the same n for all, n at least 1. A datatype may be wider in
    the signature than in the request, never narrower.

    Raises:
        Invalid: an input is unknown, twice, missing, or of the wrong shape or datatype.
    """
    known = {column.name: column for column in signature.inputs}
    columns: dict[str, Array] = {}
    row_count = -1
    for tensor in tensors:
        column = known.get(tensor.name)
        if column is None:
            near = difflib.get_close_matches(tensor.name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"its inputs: {', '.join(known)}"
            raise bad_request(f"the model has no input {tensor.name!r}", "unknown_input", hint)
        if tensor.name in columns:
            raise bad_request(f"input {tensor.name!r} stands twice", "repeated_input")
        shape = tensor.values.shape
        if not shape or shape[0] < 1 or shape[1:] not in ((), (1,)):
            raise bad_request(
                f"input {tensor.name!r}: shape {list(shape)} is not [n] or [n, 1] with n at least 1",
                "bad_shape",
            )
        if row_count not in (-1, shape[0]):
            raise bad_request(
                f"input {tensor.name!r} has {shape[0]} rows, the inputs before it {row_count}", "bad_shape"
            )
        row_count = shape[0]
        columns[tensor.name] = _checked(
            column, _widen(column, tensor.datatype, tensor.values.reshape(row_count))
        )
    missing = [column.name for column in signature.inputs if column.required and column.name not in columns]
    if missing:
        names = ", ".join(repr(name) for name in missing)
        raise bad_request(f"the request lacks the input{'s' * (len(missing) > 1)} {names}", "missing_input")
    if row_count < 0:
        raise bad_request("the request has no inputs", "missing_input")
    return columns, row_count


def _checked(column: Column, values: Array) -> Array:
    """Return a column's values when a model can be asked about them: nothing missing where it is required."""
    if values.dtype.kind == "f":
        if np.isinf(values).any():
            raise bad_request(f"input {column.name!r} is not finite", "bad_data", "send finite numbers")
        is_missing = column.required and bool(np.isnan(values).any())
    else:
        is_missing = values.dtype.kind == "O" and any(value is None for value in values)
    if is_missing:
        raise bad_request(
            f"input {column.name!r} is required, and a value of it is missing",
            "missing_value",
            "send every value; an input that may be missing is optional in the model's signature",
        )
    return values


def _widen(column: Column, datatype: str, values: Array) -> Array:
    if datatype == column.datatype:
        return values
    target = numpy_dtype(column.datatype)
    is_text = "BYTES" in (datatype, column.datatype)
    if is_text or not np.can_cast(values.dtype, target, "safe"):
        raise bad_request(
            f"input {column.name!r} takes {column.datatype}; {datatype} could lose information",
            "wrong_datatype",
            f"send {column.name!r} as {column.datatype}",
        )
    is_long = values.dtype.kind in "iu" and values.dtype.itemsize == 8
    if is_long and target.kind == "f" and not _is_exact(values):
        raise bad_request(
            f"input {column.name!r}: an integer beyond 2**53 does not fit into {column.datatype}",
            "wrong_datatype",
        )
    return values.astype(target)


def _is_exact(values: Array) -> bool:
    return int(values.max()) <= EXACT_INTEGER_MAX and int(values.min()) >= -EXACT_INTEGER_MAX
