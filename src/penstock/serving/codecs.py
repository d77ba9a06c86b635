"""The bodies of an inference request and response: JSON, alone or followed by binary tensors.

Source:
    kserve/open-inference-protocol, inference_rest.md; Triton, protocol/extension_binary_data.md
    (`binary_tensor_data`). Raw requests (header length 0) are read for models with one input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from penstock.base.errors import Invalid
from penstock.base.numbers import counted
from penstock.records.signature import DATATYPES, DIMENSIONS_MAX, Column, Signature
from penstock.serving.loaders.model import numpy_dtype
from penstock.serving.tensors import (
    Tensor,
    bad_request,
    from_binary,
    from_json,
    name_nonfinite,
    to_binary,
    why_not_json,
    without_mark,
)

Parameter = str | int | float | bool
Parameters = dict[str, Parameter]
ELEMENTS_MAX = 2**40
"""Of one tensor; more could not be sent anyway."""
NONFINITE = "penstock-nonfinite"
"""Parameter of an output in JSON with numbers that JSON has no word for."""
TABLE_COLUMNS_MIN = 4
"""So many columns are worth reading together."""


class InferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the data plane takes it.

    `outputs` are the names asked for, None for all. `received_s` is when it came, on the monotonic
    performance clock; latency counts from there. `params` are values for parameters of the model itself, by name.
    `variants` are the tensors for versions that take other inputs, by number, where the form of the request leaves it to the
    model what its values are; or why they are none for that version.
    """

    tensors: tuple[Tensor, ...]
    id: str | None = None
    parameters: Parameters = {}
    outputs: tuple[str, ...] | None = None
    params: dict[str, Any] | None = None
    received_s: float
    variants: Mapping[int, tuple[Tensor, ...] | Invalid] = MappingProxyType({})

    def tensors_for(self, version: int) -> tuple[Tensor, ...]:
        """Return the tensors as a version is asked with them.

        Raises:
            Invalid: the request cannot be read for it.
        """
        if not self.variants:
            return self.tensors
        found = self.variants.get(version, self.tensors)
        if isinstance(found, Invalid):
            raise Invalid(found.message, code=found.code, hint=found.hint)
        return found


class Encoding(msgspec.Struct, frozen=True):
    """Which outputs go back as binary tensors, and of which only the largest values are wanted, and how many."""

    default: bool = False
    by_output: dict[str, bool] = {}
    classes: dict[str, int] = {}

    def is_binary(self, output: str) -> bool:
        """Whether this output is asked for in binary."""
        return self.by_output.get(output, self.default)


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class _Output(msgspec.Struct):
    name: str
    parameters: Parameters | None = None


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[_Output] | None = None


_decoder = msgspec.json.Decoder(_Request)
_table_decoder = msgspec.json.Decoder(list[list[float]])
_encoder = msgspec.json.Encoder()


def decode_request(
    body: bytes, json_size: int | None, signature: Signature, received_s: float
) -> tuple[InferRequest, Encoding]:
    """Read a request body.

    Args:
        json_size: the header `Inference-Header-Content-Length`; None when the body is only JSON, 0 when it
            is only the raw tensor of the model's single input.

    Raises:
        Invalid: the body is not a request of the protocol.
    """
    if json_size == 0:
        return _raw_request(body, signature, received_s), Encoding(default=True)
    if json_size is not None and json_size > len(body):
        raise bad_request(
            f"Inference-Header-Content-Length is {json_size}, but the body has {counted(len(body), 'byte')}",
            "bad_header",
        )
    view = memoryview(body)
    try:
        head = view[: len(body) if json_size is None else json_size]
        request = _decoder.decode(without_mark(head))
    except msgspec.ValidationError as error:
        raise bad_request(f"not an inference request: {plain_words(error)}", "bad_request") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the request is not JSON: {why_not_json(error, head)}", "bad_json") from None
    except RecursionError:
        raise bad_request("the request is nested too deeply", "bad_json") from None
    rest = view[json_size:] if json_size is not None else view[:0]
    tensors = _table(request.inputs)
    for one in request.inputs[len(tensors) :]:
        tensor, rest = _tensor(one, rest)
        tensors.append(tensor)
    if len(rest):
        raise bad_request(
            f"{counted(len(rest), 'byte follows', 'bytes follow')} the last binary tensor", "bad_request"
        )
    outputs = None if request.outputs is None else tuple(one.name for one in request.outputs)
    decoded = InferRequest(
        tensors=tuple(tensors),
        id=request.id or None,
        parameters=request.parameters or {},
        outputs=outputs or None,
        received_s=received_s,
    )
    by_output = {one.name: one.parameters or {} for one in request.outputs or ()}
    return decoded, read_encoding(decoded.parameters, by_output)


def _table(inputs: Sequence[_Input]) -> list[Tensor]:
    """Read inputs that are all columns of numbers of one length at once; nothing of anything else.

    64 of them one after the other take 150 us, most of it in the calls.
    """
    if len(inputs) < TABLE_COLUMNS_MIN:
        return []
    shape = inputs[0].shape
    if len(shape) != 1 or any(
        one.datatype != "FP64" or one.shape != shape or one.parameters for one in inputs
    ):
        return []
    try:
        rows = _table_decoder.decode(b"[%b]" % b",".join([one.data for one in inputs]))
        matrix = np.array(rows).reshape(len(inputs), shape[0])
    except (ValueError, RecursionError):  # whoever reads them one by one says what is wrong
        return []
    return [Tensor(one.name, "FP64", values) for one, values in zip(inputs, matrix, strict=True)]


def check_shape(name: str, shape: Sequence[int]) -> None:
    """Check that an array can have a shape at all.

    Raises:
        Invalid: it has a negative dimension, too many dimensions, or more elements than can be counted.
    """
    if len(shape) == 1 and 0 <= shape[0] <= ELEMENTS_MAX:  # nearly always
        return
    if len(shape) > DIMENSIONS_MAX:
        raise bad_request(
            f"input {name!r} has {counted(len(shape), 'dimension')}; at most {DIMENSIONS_MAX} are read",
            "bad_shape",
        )
    if any(size < 0 for size in shape):
        raise bad_request(f"input {name!r}: shape {list(shape)} has a negative dimension", "bad_shape")
    if math.prod(size for size in shape if size) > ELEMENTS_MAX:
        raise bad_request(f"input {name!r}: shape {list(shape)} is larger than any tensor", "bad_shape")


def plain_words(error: Exception) -> str:
    """Say what a decoder found wrong, without its marks."""
    return str(error).replace("`", "").replace(" - at $", " at ").replace(" at .", " at ")


def _tensor(one: _Input, rest: memoryview) -> tuple[Tensor, memoryview]:
    if one.datatype not in DATATYPES:
        raise bad_request(
            f"input {one.name!r} has the unknown datatype {one.datatype!r}",
            "bad_datatype",
            f"known datatypes: {', '.join(sorted(DATATYPES))}",
        )
    check_shape(one.name, one.shape)
    size = None if one.parameters is None else one.parameters.get("binary_data_size")
    if size is None:
        if not bytes(one.data):
            raise bad_request(f"input {one.name!r} has no data", "missing_data")
        try:
            values = from_json(one.name, one.datatype, one.shape, one.data)
        except RecursionError:
            raise bad_request(f"input {one.name!r}: its data are nested too deeply", "bad_data") from None
        except UnicodeDecodeError:
            raise bad_request(f"input {one.name!r}: its data are not UTF-8 text", "bad_data") from None
        return Tensor(one.name, one.datatype, values), rest
    if bytes(one.data):
        raise bad_request(f"input {one.name!r} has both data and binary_data_size", "bad_request")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
        raise bad_request(
            f"input {one.name!r}: binary_data_size is {size!r}, but {counted(len(rest), 'byte is', 'bytes are')} left",
            "bad_request",
        )
    values = from_binary(one.name, one.datatype, one.shape, rest[:size])
    return Tensor(one.name, one.datatype, values), rest[size:]


def _raw_request(body: bytes, signature: Signature, received_s: float) -> InferRequest:
    if len(signature.inputs) != 1:
        raise bad_request(
            f"a raw binary request needs a model with one input; this one has {len(signature.inputs)}",
            "bad_request",
        )
    column = signature.inputs[0]
    if column.datatype == "BYTES":
        framed = len(body).to_bytes(4, "little") + body
        values = from_binary(column.name, "BYTES", [1], memoryview(framed))
    else:
        values = from_binary(column.name, column.datatype, _raw_shape(column, len(body)), memoryview(body))
    return InferRequest(tensors=(Tensor(column.name, column.datatype, values),), received_s=received_s)


def _raw_shape(column: Column, size_bytes: int) -> list[int]:
    """Return the shape that a raw body has: it fills the one dimension that the signature leaves open."""
    if column.shape.count(-1) > 1:
        raise bad_request(
            f"a raw binary request cannot say what {list(column.shape)} is of input {column.name!r}",
            "bad_request",
        )
    fixed = math.prod(size for size in column.shape if size != -1)
    rows = size_bytes // max(1, fixed * numpy_dtype(column.datatype).itemsize)
    return [rows if size == -1 else size for size in column.shape]


def read_encoding(parameters: Parameters, by_output: Mapping[str, Parameters]) -> Encoding:
    """Return how outputs are wanted, from the parameters of a request and of its outputs.

    Raises:
        Invalid: a parameter has a value of another kind.
    """
    binary: dict[str, bool] = {}
    classes: dict[str, int] = {}
    for name, one in by_output.items():
        if "classification" in one:
            count = one["classification"]
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise bad_request(
                    f"output {name!r}: parameter classification is a number of classes from 1 on, not {count!r}"
                )
            classes[name] = count
        if "binary_data" in one:
            binary[name] = _flag(one, "binary_data")
    return Encoding(_flag(parameters, "binary_data_output"), binary, classes)


def classify(response: InferResponse, encoding: Encoding) -> InferResponse:
    """Return a response with the outputs of which classes are wanted as text, `value:index`, the largest first.

    Raises:
        Invalid: such an output holds text.

    Source:
        Triton, protocol/extension_classification.md.
    """
    if not encoding.classes:
        return response
    tensors = tuple(
        _largest(tensor, encoding.classes[tensor.name]) if tensor.name in encoding.classes else tensor
        for tensor in response.tensors
    )
    return msgspec.structs.replace(response, tensors=tensors)


def _largest(tensor: Tensor, count: int) -> Tensor:
    if tensor.datatype == "BYTES":
        raise bad_request(f"output {tensor.name!r} is text, so it has no largest values", "unsupported")
    rows = tensor.values.reshape(len(tensor.values), -1)
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :count]
    texts = np.empty(order.shape, dtype=object)
    for row, chosen in enumerate(order):
        texts[row] = [f"{rows[row, index]:g}:{index}" for index in chosen]
    return Tensor(tensor.name, "BYTES", texts)


def _flag(parameters: Parameters, name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise bad_request(f"parameter {name} must be true or false, not {value!r}", "bad_request")
    return value


class InferResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response as the data plane gives it."""

    model_name: str
    model_version: str
    id: str
    parameters: Parameters
    tensors: tuple[Tensor, ...]


def encode_response(response: InferResponse, encoding: Encoding) -> tuple[bytes, int | None]:
    """Return the body and its JSON length, which is None when nothing in it is binary.

    NaN and infinities become `null` in JSON, as the text format has no word for them; the output's parameter
    `penstock-nonfinite` says which they were.
    """
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for tensor in response.tensors:
        output: dict[str, Any] = {
            "name": tensor.name,
            "shape": tensor.values.shape,
            "datatype": tensor.datatype,
        }
        if encoding.is_binary(tensor.name):
            blob = to_binary(tensor)
            output["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            output["data"] = tensor.values.ravel().tolist()
        outputs.append(output)
    body = {
        "model_name": response.model_name,
        "model_version": response.model_version,
        "id": response.id,
        "parameters": response.parameters,
        "outputs": outputs,
    }
    head = _encoder.encode(body)
    # where there is one the text says so, which is looked through sooner than the numbers
    if b"null" in head and _tell_nonfinite(outputs, response.tensors):
        head = _encoder.encode(body)
    return (b"".join([head, *blobs]), len(head)) if blobs else (head, None)


def _tell_nonfinite(outputs: Sequence[dict[str, Any]], tensors: Sequence[Tensor]) -> bool:
    """Note in outputs which numbers JSON has no word for; whether there were any."""
    is_told = False
    for output, tensor in zip(outputs, tensors, strict=True):
        if "data" in output and (told := name_nonfinite(tensor.values)):
            output["parameters"] = {NONFINITE: told}
            is_told = True
    return is_told
