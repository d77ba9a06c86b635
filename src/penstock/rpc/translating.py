"""Messages of gRPC as requests and responses of the data plane, and back.

Tensors travel raw (all of a message's, in order) or typed. FP16 has no typed form. A response is raw when its
request was, when an output is FP16, or when the request's parameter `binary_data_output` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from penstock.base.numbers import counted
from penstock.records.signature import DATATYPES
from penstock.rpc.messages import ModelInferResponse
from penstock.serving.codecs import (
    Encoding,
    InferRequest,
    InferResponse,
    Parameter,
    Parameters,
    check_shape,
    read_encoding,
)
from penstock.serving.loaders.model import Array, numpy_dtype
from penstock.serving.tensors import Tensor, bad_request, from_binary, to_binary

CONTENTS: dict[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_request(message: Any, received_s: float) -> tuple[InferRequest, Encoding]:
    """Return what a message asks, and which form its answer takes.

    Raises:
        Invalid: it is no request of the protocol.
    """
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise bad_request(
            f"raw_input_contents holds {counted(len(raw), 'tensor')}, but there are {counted(len(message.inputs), 'input')}: it holds "
            "every input or none",
            "bad_request",
        )
    tensors = tuple(_raw(one, raw[index]) if raw else _typed(one) for index, one in enumerate(message.inputs))
    parameters = read_parameters(message.parameters)
    by_output = {one.name: read_parameters(one.parameters) for one in message.outputs}
    encoding = read_encoding({"binary_data_output": bool(raw), **parameters}, by_output)
    request = InferRequest(
        tensors=tensors,
        id=message.id or None,
        parameters=parameters,
        outputs=tuple(one.name for one in message.outputs) or None,
        received_s=received_s,
    )
    return request, encoding


def write_response(response: InferResponse, encoding: Encoding) -> Any:
    """Return the message of a response."""
    message = ModelInferResponse(
        model_name=response.model_name, model_version=response.model_version, id=response.id
    )
    write_parameters(message.parameters, response.parameters)
    is_raw = encoding.default or any(tensor.datatype not in CONTENTS for tensor in response.tensors)
    for tensor in response.tensors:
        output = message.outputs.add(
            name=tensor.name, datatype=tensor.datatype, shape=[int(size) for size in tensor.values.shape]
        )
        if is_raw:
            message.raw_output_contents.append(to_binary(tensor))
        else:
            getattr(output.contents, CONTENTS[tensor.datatype]).extend(_elements(tensor))
    return message


def read_parameters(given: Mapping[str, Any]) -> Parameters:
    """Return parameters as plain values.

    Raises:
        Invalid: one has no value.
    """
    read: Parameters = {}
    for name, value in given.items():
        chosen = value.WhichOneof("parameter_choice")
        if chosen is None:
            raise bad_request(f"parameter {name[:64]!r} has no value", "bad_request")
        read[name] = getattr(value, chosen)
    return read


def write_parameters(target: Any, parameters: Mapping[str, Parameter]) -> None:
    """Write plain values into a map of parameters."""
    for name, value in parameters.items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            target[name].int64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        else:
            target[name].string_param = value


def _raw(one: Any, data: bytes) -> Tensor:
    _check(one)
    if one.HasField("contents"):
        raise bad_request(f"input {one.name!r} has contents beside raw_input_contents", "bad_request")
    return Tensor(
        one.name, one.datatype, from_binary(one.name, one.datatype, list(one.shape), memoryview(data))
    )


def _typed(one: Any) -> Tensor:
    _check(one)
    field = CONTENTS.get(one.datatype)
    if field is None:
        raise bad_request(
            f"input {one.name!r}: {one.datatype} travels in raw_input_contents only", "bad_data"
        )
    foreign = [descriptor.name for descriptor, _ in one.contents.ListFields() if descriptor.name != field]
    if foreign:
        raise bad_request(
            f"input {one.name!r}: {one.datatype} is sent in {field}, not in {', '.join(foreign)}", "bad_data"
        )
    values = _array(one.name, one.datatype, getattr(one.contents, field))
    shape = list(one.shape)
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if len(values) != count:
        raise bad_request(
            f"input {one.name!r}: shape {shape} holds {counted(count, 'element')}, but contents {len(values)}",
            "bad_shape",
        )
    return Tensor(one.name, one.datatype, values.reshape(shape))


def _check(one: Any) -> None:
    if one.datatype not in DATATYPES:
        raise bad_request(
            f"input {one.name!r} has the unknown datatype {one.datatype!r}",
            "bad_datatype",
            f"known datatypes: {', '.join(sorted(DATATYPES))}",
        )
    check_shape(one.name, one.shape)


def _array(name: str, datatype: str, elements: Any) -> Array:
    dtype = numpy_dtype(datatype)
    if dtype.kind == "O":
        return _texts(name, elements)
    values = np.array(elements, dtype=dtype if dtype.itemsize >= 4 or dtype.kind == "b" else np.int64)
    if dtype.kind in "iu" and dtype.itemsize < 4:
        limits = np.iinfo(dtype)
        if len(values) and (values.min() < limits.min or values.max() > limits.max):
            raise bad_request(f"input {name!r}: a value does not fit into {datatype}", "bad_data")
        values = values.astype(dtype)
    return values


def _texts(name: str, elements: Iterable[bytes]) -> Array:
    texts: list[str] = []
    for element in elements:
        try:
            texts.append(element.decode())
        except UnicodeDecodeError:
            raise bad_request(f"input {name!r}: element {len(texts)} is not UTF-8 text", "bad_data") from None
    values = np.empty(len(texts), dtype=object)
    values[:] = texts
    return values


def _elements(tensor: Tensor) -> list[Any]:
    values = tensor.values.ravel()
    if tensor.datatype == "BYTES":
        return [("" if item is None else str(item)).encode() for item in values]
    elements: list[Any] = values.tolist()
    return elements
