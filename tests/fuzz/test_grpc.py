"""Whatever is sent over gRPC is answered rightly: OK with every tensor whole, or the client's mistake."""

from __future__ import annotations

import random
from typing import Any

import grpc
import numpy as np
import pytest

from fuzz.mutating import ODD, change_bytes
from patience import PATIENCE_S
from penstock.processes.serve import ServeProcess
from penstock.rpc.messages import (
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
    message_class,
)
from penstock.rpc.translating import read_request
from penstock.serving.loaders.model import numpy_dtype
from serving.rpc import address

pytestmark = pytest.mark.slow
MISTAKES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.DEADLINE_EXCEEDED}
SERVICE = "/inference.GRPCInferenceService"
OTHERS = [
    (method, message_class(f"{method}Request")(**fields))
    for method, fields in (
        ("ModelReady", {"name": "delay", "version": "1"}),
        ("ModelMetadata", {"name": "delay", "version": "1"}),
        ("ModelConfig", {"name": "delay", "version": "1"}),
        ("ModelStatistics", {"name": "delay", "version": "1"}),
        ("ServerMetadata", {}),
        ("RepositoryIndex", {"ready": True}),
        ("RepositoryModelLoad", {"model_name": "spare"}),
        ("RepositoryModelUnload", {"model_name": "spare"}),
    )
]


def right(*, raw: bool) -> Any:
    message = ModelInferRequest(model_name="delay", id="seven")
    for name, datatype, field, values in (
        ("hour", "INT64", "int64_contents", [5, 20]),
        ("distance", "FP64", "fp64_contents", [900.0, 1100.0]),
        ("carrier", "BYTES", "bytes_contents", [b"AA", b"UA"]),
    ):
        one = message.inputs.add(name=name, datatype=datatype, shape=[2])
        if not raw:
            getattr(one.contents, field).extend(values)
        elif datatype == "BYTES":
            message.raw_input_contents.append(b"".join(len(x).to_bytes(4, "little") + x for x in values))  # type: ignore[arg-type,misc]
        else:
            message.raw_input_contents.append(np.array(values, dtype=numpy_dtype(datatype)).tobytes())
    return message


def change(message: Any, chance: random.Random) -> bytes:
    """Return a message with a few of its fields, or of its bytes, changed."""
    made = ModelInferRequest()
    made.CopyFrom(message)
    for _ in range(chance.randint(0, 2)):
        one = chance.choice(made.inputs) if made.inputs else made.inputs.add()
        kind = chance.randrange(10)
        if kind == 0:
            one.datatype = chance.choice(["FP16", "FP32", "BOOL", "INT8", "BF16", "", "UINT64", "BYTES"])
        elif kind == 1:
            one.shape.append(chance.choice([0, 1, 2, -1, 2**62]))
        elif kind == 2:
            del one.shape[:]
        elif kind == 3:
            one.name = chance.choice(["hour", "wind", "x", "", "carrier"])
        elif kind == 4 and made.raw_input_contents:
            index = chance.randrange(len(made.raw_input_contents))
            made.raw_input_contents[index] = change_bytes(made.raw_input_contents[index], chance)
        elif kind == 5:
            made.inputs.add().CopyFrom(one)
        elif kind == 6:
            one.contents.fp32_contents.append(chance.choice([0.5, float("nan"), float("inf")]))
        elif kind == 7:
            odd = chance.choice([value for value in ODD if isinstance(value, str)])
            made.parameters[chance.choice(["timeout", "binary_data_output", "a"])].string_param = odd
        elif kind == 8:
            made.outputs.add(name=chance.choice(["prediction", "nope"])).parameters[
                "classification"
            ].int64_param = chance.choice([0, 1, 2**40, -1])
        else:
            one.contents.bytes_contents.append(chance.choice([b"\xff", b"", b"A" * 100]))
    data: bytes = made.SerializeToString()
    return change_bytes(data, chance) if chance.random() < 0.3 else data


def check(message: Any) -> None:
    """Check that every output of an answer is whole, by reading it as a request's input is read."""
    back = ModelInferRequest(raw_input_contents=message.raw_output_contents)
    for one in message.outputs:
        contents = None if message.raw_output_contents else one.contents
        back.inputs.add(name=one.name, datatype=one.datatype, shape=one.shape, contents=contents)
    tensors = read_request(back, 0.0)[0].tensors
    assert tensors and all(
        tensor.values.shape == tuple(one.shape) for tensor, one in zip(tensors, message.outputs, strict=True)
    )


def test_messages_that_are_nearly_right_are_answered_rightly(
    fuzzed: ServeProcess, requests_wanted: int
) -> None:
    chance = random.Random(20261128)
    bases = [right(raw=True), right(raw=False)]
    counts: dict[str, int] = {}
    with grpc.insecure_channel(address(fuzzed)) as channel:
        unary = channel.unary_unary(f"{SERVICE}/ModelInfer", None, ModelInferResponse.FromString)
        stream = channel.stream_stream(
            f"{SERVICE}/ModelStreamInfer", None, ModelStreamInferResponse.FromString
        )
        for base in bases:
            check(unary(base.SerializeToString(), timeout=PATIENCE_S))
        for number in range(requests_wanted):
            data = change(chance.choice(bases), chance)
            try:
                if number % 8 == 6:
                    method, message = chance.choice(OTHERS)
                    data = message.SerializeToString()
                    data = change_bytes(data, chance) if chance.random() < 0.7 else data
                    answer = message_class(f"{method}Response").FromString
                    channel.unary_unary(f"{SERVICE}/{method}", None, answer)(data, timeout=PATIENCE_S)
                    code = method
                elif number % 8 == 7:
                    for told in stream(iter([data]), timeout=PATIENCE_S):
                        assert "its log says why" not in told.error_message, data
                    code = "stream"
                else:
                    check(unary(data, timeout=PATIENCE_S))
                    code = "OK"
            except grpc.RpcError as error:
                told = dict(error.trailing_metadata() or ()).get("penstock-error-code")
                assert error.code() in MISTAKES or told == "serving.unloaded", (error, data)
                code = error.code().name
            counts[code] = counts.get(code, 0) + 1
    print("gRPC answers by status:", counts)
    assert counts["OK"] and counts["INVALID_ARGUMENT"]
