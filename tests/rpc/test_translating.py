from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.base.errors import Invalid
from penstock.rpc.messages import ModelInferRequest
from penstock.rpc.translating import CONTENTS, read_request, write_response
from penstock.serving.codecs import Encoding, InferResponse
from penstock.serving.tensors import Tensor, to_binary

VALUES: dict[str, Any] = {
    "BOOL": np.array([[True, False]]),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-5, 5]], np.int16),
    "INT32": np.array([[-(2**31), 1]], np.int32),
    "INT64": np.array([[-(2**63), 1]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "FP16": np.array([[1.5, -2.0]], np.float16),
    "FP32": np.array([[1.5, np.nan]], np.float32),
    "FP64": np.array([[1e300, -0.0]]),
    "BYTES": np.array([["Ü", ""]], dtype=object),
}


def request(*, raw: bool, **changes: Any) -> Any:
    message = ModelInferRequest(model_name="delay", id="seven")
    for datatype, values in VALUES.items():
        tensor = Tensor(datatype, datatype, values)
        if not raw and datatype == "FP16":
            continue
        one = message.inputs.add(name=datatype, datatype=datatype, shape=[1, 2])
        if raw:
            message.raw_input_contents.append(to_binary(tensor))
        else:
            elements = values.ravel().tolist()
            getattr(one.contents, CONTENTS[datatype]).extend(
                [item.encode() for item in elements] if datatype == "BYTES" else elements
            )
    return message


@pytest.mark.parametrize("raw", [True, False])
def test_every_datatype_is_read_and_written_in_both_forms(raw: bool) -> None:
    read, encoding = read_request(request(raw=raw), 0.0)
    assert (read.id, read.outputs, encoding.default) == ("seven", None, raw)
    assert [one.name for one in read.tensors] == [name for name in VALUES if raw or name != "FP16"]
    for tensor in read.tensors:
        assert tensor.values.dtype == VALUES[tensor.name].dtype
        np.testing.assert_array_equal(tensor.values, VALUES[tensor.name])
    response = InferResponse(
        model_name="delay",
        model_version="1",
        id="seven",
        parameters={"a": 1, "b": 0.5, "c": True},
        tensors=read.tensors,
    )
    written = write_response(response, encoding)
    assert len(written.raw_output_contents) == (len(VALUES) if raw else 0)
    assert [one.HasField("contents") for one in written.outputs] == [not raw] * len(written.outputs)
    assert written.parameters["c"].bool_param
    back = ModelInferRequest(raw_input_contents=written.raw_output_contents)
    for one in written.outputs:
        back.inputs.add(
            name=one.name, datatype=one.datatype, shape=one.shape, contents=None if raw else one.contents
        )
    for before, after in zip(read.tensors, read_request(back, 0.0)[0].tensors, strict=True):
        np.testing.assert_array_equal(before.values, after.values)


def test_an_answer_with_half_precision_is_raw_whatever_was_asked() -> None:
    response = InferResponse(
        model_name="m",
        model_version="1",
        id="",
        parameters={},
        tensors=(Tensor("half", "FP16", VALUES["FP16"]),),
    )
    assert len(write_response(response, Encoding()).raw_output_contents) == 1


def test_what_is_no_request_of_the_protocol_is_refused_with_its_cause() -> None:
    def changed(raw: bool, change: Any) -> Any:
        message = request(raw=raw)
        change(message)
        return message

    cases = {
        "every input or none": changed(True, lambda m: m.raw_input_contents.pop()),
        "beside raw_input_contents": changed(True, lambda m: m.inputs[0].contents.bool_contents.append(True)),
        "takes 8 bytes": changed(True, lambda m: m.inputs[1].shape.append(4)),
        "not in fp64_contents": changed(False, lambda m: m.inputs[0].contents.fp64_contents.append(1)),
        "holds 2 elements, but contents 3": changed(
            False, lambda m: m.inputs[0].contents.bool_contents.append(1)
        ),
        "does not fit into INT8": changed(
            False, lambda m: m.inputs[1].contents.int_contents.__setitem__(0, 128)
        ),
        "not UTF-8": changed(False, lambda m: m.inputs[-1].contents.bytes_contents.__setitem__(0, b"\xff")),
        "raw_input_contents only": changed(False, lambda m: setattr(m.inputs[0], "datatype", "FP16")),
        "unknown datatype 'BF16'": changed(False, lambda m: setattr(m.inputs[0], "datatype", "BF16")),
        "negative dimension": changed(False, lambda m: m.inputs[0].shape.__setitem__(0, -1)),
        "65 dimensions": changed(False, lambda m: m.inputs[0].shape.extend([1] * 63)),
        "larger than any tensor": changed(False, lambda m: m.inputs[0].shape.extend([2**62, 2**62])),
        "has no value": changed(False, lambda m: m.parameters["x"].Clear()),
    }
    for sentence, message in cases.items():
        with pytest.raises(Invalid) as told:
            read_request(message, 0.0)
        assert sentence in told.value.message, sentence
